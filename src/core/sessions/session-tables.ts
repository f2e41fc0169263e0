/** What finds the sessions of one worker: by slot, by captured flow, by copied port, by the time they are due. */
import type { Segment } from '../../wire/segment.ts'
import { FlowTable } from '../memory/flow-table.ts'
import type { PortsPool } from '../selection/ports-pool.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import type { CopyGroup } from './copy-group.ts'
import { Deadlines } from './deadlines.ts'
import { SessionSlots } from './session-slots.ts'

export class SessionTables {
  readonly slots: SessionSlots
  /** Captured flow → 2 × slot of its newest session, or the marker of a tombstone (4n + 1) or ignored flow (4n + 3). */
  readonly bySource = new FlowTable()
  readonly ports: PortsPool
  /** By slot; undefined where a connection is copied once. */
  readonly groups: (CopyGroup | undefined)[] = []
  readonly deadlines: Deadlines

  constructor(context: SessionContext, ports: PortsPool, now: number) {
    this.slots = new SessionSlots(context)
    this.ports = ports
    this.deadlines = new Deadlines(this.slots, context.keepAliveMs, now)
  }

  /** @returns what `bySource` has for the flow of a captured segment, or −1 */
  find(segment: Segment): number {
    return this.bySource.get(segment.fromAddress, segment.fromPort, segment.toAddress, segment.toPort)
  }

  /** The session that a value of `bySource` stands for, if any; it is woken. */
  sessionAt(found: number, now: number): Session | undefined {
    return found >= 0 && found % 2 === 0 ? this.slots.at(found / 2, now) : undefined
  }

  /** All copies of a session's connection, as they are now: by number. */
  copiesOf(session: Session): (Session | undefined)[] {
    return [...(this.groups[session.id]?.members ?? [session])]
  }
}
