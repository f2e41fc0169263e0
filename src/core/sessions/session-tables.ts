/** What finds the sessions of one worker: by slot, by captured flow, by copied port, by the time they are due. */
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
  /** Captured flow → what `flow-entries.ts` makes of its session, or of a closed or ignored flow. */
  readonly bySource = new FlowTable()
  readonly ports: PortsPool
  /** By slot; undefined where a connection is copied once. */
  readonly groups: (CopyGroup | undefined)[] = []
  readonly deadlines: Deadlines
  readonly #flow = new Flow()

  constructor(context: SessionContext<never>, ports: PortsPool, now: number) {
    this.slots = new SessionSlots(context)
    this.ports = ports
    this.deadlines = new Deadlines(this.slots, context.settings.keepAliveMs, now)
  }

  /** @returns what `bySource` has for the flow of a captured segment, or −1 */
  find(segment: Segment): number {
    return this.bySource.get(this.#flow.fromClient(segment))
  }

  /** The session that an entry of `bySource` stands for, if any; it is woken. */
  sessionAt(entry: number, now: number): Session | undefined {
    return this.slots.at(slotOf(entry), now)
  }

  /** Makes a session the one that stands for the flow of a captured segment. */
  setFlow(segment: Segment, slot: number): void {
    this.bySource.set(this.#flow.fromClient(segment), entryOfSession(slot))
  }

  /** The captured flow of a session. One object is filled again and again. */
  capturedFlow({ capturedAddress, capturedPort, sourceAddress, sourcePort }: CopiedIdentity): Flow {
    return this.#flow.set(capturedAddress, capturedPort, sourceAddress, sourcePort)
  }

  /** All copies of a session's connection, as they are now: by number. */
  copiesOf(session: Session): (Session | undefined)[] {
    return [...(this.groups[session.id]?.members ?? [session])]
  }
}
