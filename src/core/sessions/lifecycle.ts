/**
 * Handles the end and the reconnect of sessions. Whoever gives a session anything to do must call `settle` afterwards,
 * which arms its deadline, replaces its connection, or removes it and starts its successor.
 */
import type { Flow } from '../../wire/flow.ts'
import type { JoinRule } from '../admission/join-rule.ts'
import type { UncopiedRequests } from '../admission/uncopied-requests.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import { type CopiedIdentity, nextIdentity } from '../target/copied-identity.ts'
import { type ClosedFlows, mayJoinAgain } from './closed-flows.ts'
import { entryOfSession } from './flow-entries.ts'
import type { SessionTables } from './session-tables.ts'
import { replaceInQueue } from './successors.ts'

export class Lifecycle {
  readonly #context: SessionContext<never>
  readonly #tables: SessionTables
  readonly #closedFlows: ClosedFlows
  readonly #joins: JoinRule
  readonly #uncopied: UncopiedRequests

  constructor(
    context: SessionContext<never>,
    tables: SessionTables,
    closedFlows: ClosedFlows,
    joins: JoinRule,
    uncopied: UncopiedRequests
  ) {
    this.#joins = joins
    this.#uncopied = uncopied
    this.#context = context
    this.#tables = tables
    this.#closedFlows = closedFlows
  }

  /** To be called after a session was given anything to do. It may be called for a session that ended earlier. */
  settle(session: Session, now: number): void {
    while (session.hasReconnected) this.#reconnect(session, now)
    if (!session.hasEnded) this.#tables.deadlines.schedule(session)
    else if (this.#tables.slots.awake[session.id] === session) this.#remove(session, now)
  }

  /** Ends a session's connection for a reason from outside. */
  abort(session: Session, reason: Drop, now: number): void {
    session.abort(reason, now)
    this.settle(session, now)
  }

  /**
   * Replaces a session's connection. The session keeps its slot, its captured flow and its place in the queue for its
   * port.
   */
  #reconnect(session: Session, now: number): void {
    const { ports, deadlines } = this.#tables
    const before = session.identity
    deadlines.forget(session)
    const identity = nextIdentity(before, session.endReason === Drop.PortTaken, ports)
    const holder = ports.holderOf(before)
    session.reconnect(identity, now)
    if (identity.clientPort !== before.clientPort) {
      const { successor } = session
      session.successor = undefined
      this.#context.counters.add(Counter.portsMoved, 1)
      ports.take(identity, session.id)
      this.#passOn(session.id, before, successor, Drop.PortTaken, now)
      session.allowStart(now, now)
    } else if (holder === session.id) session.allowReconnect(now)
  }

  /** Removes a session that has ended: frees its slot, and remembers its flow if later packets may follow. */
  #remove(session: Session, now: number): void {
    const { id, identity, successor } = session
    const { slots, groups, bySource, ports, deadlines } = this.#tables
    const group = groups[id]
    deadlines.forget(session)
    slots.free(id)
    groups[id] = undefined
    group?.remove(session, mayJoinAgain(session))
    const flow = this.#tables.capturedFlow(identity)
    if (bySource.get(flow) === entryOfSession(id)) {
      const heir = group?.first
      const { lastRequestAck } = session.queue
      const isOver = heir !== undefined || session.isClientDone
      if (!isOver && lastRequestAck !== undefined) this.#uncopied.leave(flow, lastRequestAck, now)
      if (heir !== undefined) bySource.set(flow, entryOfSession(heir.id))
      else if (mayJoinAgain(session)) this.#leave(session, flow, now)
      else this.#closedFlows.add(flow, session.isClientDone, now)
    }
    const holder = ports.holderOf(identity)
    if (holder !== id) replaceInQueue(session, successor, slots.awake[holder])
    else this.#passOn(id, identity, successor, session.endReason, now)
    this.#context.hub.leave(id)
  }

  /** The connection of a session that has ended continues, and may be joined where its next request begins. */
  #leave(session: Session, flow: Flow, now: number): void {
    this.#tables.bySource.delete(flow)
    const { client, queue } = session
    const isAllDelivered = queue.frontEnd === client.stream.end
    this.#joins.leave(flow, client.endSequence, isAllDelivered ? queue.pushedAck : undefined, now)
  }

  /**
   * Passes the address and port of a slot to the successor, or releases them.
   * @param reason why its connection ended
   */
  #passOn(slot: number, identity: CopiedIdentity, successor: Session | undefined, reason: Drop, now: number): void {
    const { ports } = this.#tables
    if (successor === undefined) {
      ports.release(identity)
      // Late answers for a port of another tcpcopy are not ours to reply to.
      this.#context.hub.release(slot, identity, reason === Drop.PortTaken)
      return
    }
    ports.take(identity, successor.id)
    successor.allowStart(now, now)
    this.settle(successor, now)
  }
}
