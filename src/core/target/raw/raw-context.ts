/** What all raw target sides of a worker share. */
import { float64At } from '../../../wire/bytes.ts'
import type { TcpContext } from '../../tcp/tcp-context.ts'
import type { RouteEvents } from './route-events.ts'

/** How many connections were tried, and how many the target answered, by `-x`. */
export class Reach {
  readonly #syns: Float64Array
  readonly #synAcks: Float64Array

  /** @param maps how many `-x` there are */
  constructor(maps: number) {
    this.#syns = new Float64Array(maps)
    this.#synAcks = new Float64Array(maps)
  }

  sent(map: number): void {
    this.#syns[map] = float64At(this.#syns, map) + 1
  }

  answered(map: number): void {
    this.#synAcks[map] = float64At(this.#synAcks, map) + 1
  }

  /** Connections tried so far. */
  syns(map: number): number {
    return float64At(this.#syns, map)
  }

  /** Connections answered so far. */
  synAcks(map: number): number {
    return float64At(this.#synAcks, map)
  }
}

export interface RawContext extends TcpContext {
  readonly routes: RouteEvents
  readonly reach: Reach
}
