/** What all raw target sides of a worker share. */
import type { LoopGuard } from '../../selection/loop-guard.ts'
import type { TcpContext } from '../../tcp/tcp-context.ts'
import type { Reach } from './reach.ts'
import type { RouteEvents } from './route-events.ts'

export interface RawContext extends TcpContext {
  readonly routes: RouteEvents
  readonly reach: Reach
  readonly loops: LoopGuard | undefined
}
