/**
 * The session slots hold the sessions of one worker, awake or hibernated. A slot is reused when its session has ended.
 */
import type { CapturedFlow } from '../selection/source-sockets.ts'
import { HibernatedSessions } from '../session/hibernation.ts'
import type { Session } from '../session/session.ts'
import type { SessionContext } from '../session/session-context.ts'
import { SessionState } from '../session/session-state.ts'
import type { Route } from '../target/raw/route-events.ts'

export class SessionSlots {
  /** By slot; undefined for hibernated sessions. */
  readonly awake: (Session | undefined)[] = []
  readonly #hibernated: HibernatedSessions
  readonly #free: number[] = []
  readonly #context: SessionContext<never>

  constructor(context: SessionContext<never>) {
    this.#context = context
    this.#hibernated = new HibernatedSessions(context)
  }

  /** Sessions that have not ended. */
  get count(): number {
    return this.awake.length - this.#free.length
  }

  /** All slots in use are below. */
  get length(): number {
    return this.awake.length
  }

  /** The captured connection of a session that has made no progress since then, or hibernates. Wakes nobody. */
  silentSince(slot: number, since: number): CapturedFlow | undefined {
    const session = this.awake[slot]
    if (session === undefined) return this.#hibernated.identityOf(slot)
    return session.progressAt <= since && !session.isClientDone ? session.identity : undefined
  }

  /** A free slot for a new session, which `set` must then occupy. */
  take(): number {
    return this.#free.pop() ?? this.awake.length
  }

  set(session: Session): void {
    if (this.awake[session.id] === undefined) this.#context.idlePolicy.count += 1
    this.awake[session.id] = session
  }

  free(slot: number): void {
    this.#leave(slot)
    this.#free.push(slot)
  }

  /** The session in a slot; wakes it if it hibernates. @param slot −1: none */
  at(slot: number, now: number): Session | undefined {
    if (slot < 0) return undefined
    return this.awake[slot] ?? this.#wake(slot, now)
  }

  /** Hibernates a session whose `hibernateAt` has passed. The object must not be used afterwards. */
  hibernate(session: Session): void {
    this.#hibernated.put(session)
    this.#context.hub.leave(session.id)
    this.#leave(session.id)
  }

  #leave(slot: number): void {
    if (this.awake[slot] !== undefined) this.#context.idlePolicy.count -= 1
    this.awake[slot] = undefined
  }

  #wake(slot: number, now: number): Session | undefined {
    const session = this.#hibernated.wake(slot, now)
    if (session !== undefined) this.set(session)
    return session
  }

  /** Calls `end` for all sessions; first for waiting ones, which would otherwise start when their predecessor ends. */
  endAll(end: (session: Session) => void, now: number): void {
    for (const session of this.awake) if (session?.state === SessionState.Waiting) end(session)
    for (let slot = 0; slot < this.awake.length; slot++) {
      const session = this.at(slot, now)
      if (session !== undefined) end(session)
    }
  }

  /** The route of the first session from `slot` on whose connection was opened. Does not wake hibernated sessions. */
  routeFrom(slot: number): Route | undefined {
    for (let index = slot; index < this.awake.length; index++) {
      const session = this.awake[index]
      const isOpened = session !== undefined && session.state !== SessionState.Waiting
      const identity = isOpened ? session.identity : this.#hibernated.identityOf(index)
      if (identity !== undefined) return { ...identity, id: index }
    }
    return undefined
  }
}
