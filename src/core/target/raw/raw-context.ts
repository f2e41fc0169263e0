/** What all raw target sides of a worker share, with counts of connections for each mapping. */
import { float64At } from '../../../wire/bytes.ts'
import type { LoopGuard } from '../../selection/loop-guard.ts'
import type { TcpContext } from '../../tcp/tcp-context.ts'
import type { RouteEvents } from './route-events.ts'

/** For each `-x`: how many connections were opened, and how many of them the target accepted. */
export class Reach {
  readonly #syns: Float64Array
  readonly #synAcks: Float64Array

  /** @param maps number of `-x` */
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

  /** Connections opened so far. */
  syns(map: number): number {
    return float64At(this.#syns, map)
  }

  /** Connections accepted so far. */
  synAcks(map: number): number {
    return float64At(this.#synAcks, map)
  }
}

export interface RawContext extends TcpContext {
  readonly routes: RouteEvents
  readonly reach: Reach
  readonly loops: LoopGuard | undefined
}
