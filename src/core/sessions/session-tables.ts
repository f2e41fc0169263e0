/** The session tables find the sessions of one worker by slot, by captured flow, by copied port and by deadline. */
import { Flow } from '../../wire/flow.ts'
import type { Segment } from '../../wire/segment.ts'
import { FlowTable } from '../memory/flow-table.ts'
import type { PortsPool } from '../selection/ports-pool.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import type { CopiedIdentity } from '../target/copied-identity.ts'
import type { CopyGroup } from './copy-group.ts'
import { Deadlines } from './deadlines.ts'
import { entryOfSession, slotOf } from './flow-entries.ts'
import { SessionSlots } from './session-slots.ts'

export class SessionTables {
  readonly slots: SessionSlots
  /** Captured flow → entry as encoded by `flow-entries.ts`. */
  readonly bySource = new FlowTable()
  readonly ports: PortsPool
  /** By slot; undefined if the connection is copied once. */
  readonly groups: (CopyGroup | undefined)[] = []
  readonly deadlines: Deadlines
  readonly #flow = new Flow()

  constructor(context: SessionContext<never>, ports: PortsPool, now: number) {
    this.slots = new SessionSlots(context)
    this.ports = ports
    this.deadlines = new Deadlines(this.slots, context.settings.keepAliveMs, now)
  }

  /** @returns the entry for the flow of a captured segment, or −1 */
  find(segment: Segment): number {
    return this.bySource.get(this.#flow.fromClient(segment))
  }

  /** The session of an entry of `bySource`, if it is one; wakes it if it hibernates. */
  sessionAt(entry: number, now: number): Session | undefined {
    return this.slots.at(slotOf(entry), now)
  }

  /** Enters a session for the flow of a captured segment. */
  setFlow(segment: Segment, slot: number): void {
    this.bySource.set(this.#flow.fromClient(segment), entryOfSession(slot))
  }

  /** The captured flow of a session, in a reused object. */
  capturedFlow({ capturedAddress, capturedPort, sourceAddress, sourcePort }: CopiedIdentity): Flow {
    return this.#flow.set(capturedAddress, capturedPort, sourceAddress, sourcePort)
  }

  /** The current copies of a session's connection, by place in their group. */
  copiesOf(session: Session): (Session | undefined)[] {
    return [...(this.groups[session.id]?.members ?? [session])]
  }
}
