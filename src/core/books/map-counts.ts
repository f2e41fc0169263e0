/** Counts for each `-x`, for warnings that name it. */
import { float64At } from '../../wire/bytes.ts'

export const MapCount = {
  /** Requests sent. */
  Requests: 0,
  /** Of these and of ends of connections, sent after a timeout without the expected answer. */
  Unanswered: 1,
  /** Pauses of sessions whose connections were of no use. */
  Pauses: 2,
  /** Connections left out because they use TLS. */
  TlsLeftOut: 3
} as const
export type MapCount = (typeof MapCount)[keyof typeof MapCount]

const KINDS = Object.keys(MapCount).length

export class MapCounts {
  readonly #slots: Float64Array

  /** @param maps number of `-x` */
  constructor(maps: number) {
    this.#slots = new Float64Array(maps * KINDS)
  }

  add(map: number, kind: MapCount): void {
    const slot = map * KINDS + kind
    this.#slots[slot] = float64At(this.#slots, slot) + 1
  }

  get(map: number, kind: MapCount): number {
    return float64At(this.#slots, map * KINDS + kind)
  }
}
