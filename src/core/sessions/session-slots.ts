/** The sessions of one worker by slot: awake, or at rest. A slot of an ended session is used again. */
import { HibernatedSessions } from '../session/hibernation.ts'
import type { Session } from '../session/session.ts'
import { type SessionContext, State } from '../session/session-context.ts'

/** As whom a session speaks, and to whom. */
export interface Speaker {
  readonly id: number
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
}

export class SessionSlots {
  /** By slot; those at rest are not in it. */
  readonly awake: (Session | undefined)[] = []
  readonly #resting = new HibernatedSessions()
  readonly #free: number[] = []
  readonly #context: SessionContext

  constructor(context: SessionContext) {
    this.#context = context
  }

  /** Sessions that have not ended. */
  get count(): number {
    return this.awake.length - this.#free.length
  }

  /** The slot that a new session gets. It is taken with `set`. */
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

  /** The session in a slot, which is woken if it rests; −1: none. */
  at(slot: number, now: number): Session | undefined {
    if (slot < 0) return undefined
    return this.awake[slot] ?? this.#wake(slot, now)
  }

  /** Lays a session down whose `hibernateAt` has come. */
  rest(session: Session): void {
    this.#resting.lay(session)
    this.#leave(session.id)
  }

  #leave(slot: number): void {
    if (this.awake[slot] !== undefined) this.#context.idlePolicy.count -= 1
    this.awake[slot] = undefined
  }

  #wake(slot: number, now: number): Session | undefined {
    const session = this.#resting.wake(slot, this.#context, now)
    if (session !== undefined) this.set(session)
    return session
  }

  /** Ends all; first those go that would begin when another ends. */
  endAll(end: (session: Session) => void, now: number): void {
    for (const session of this.awake) if (session?.state === State.Waiting) end(session)
    for (let slot = 0; slot < this.awake.length; slot++) {
      const session = this.at(slot, now)
      if (session !== undefined) end(session)
    }
  }

  /** The first session from a slot on whose SYN is out; at rest it stays so. */
  startedFrom(slot: number): Speaker | undefined {
    for (let index = slot; index < this.awake.length; index++) {
      const session = this.awake[index]
      if (session !== undefined && session.state !== State.Waiting) return session
      const identity = this.#resting.identityOf(index)
      if (identity !== undefined) return { ...identity, id: index }
    }
    return undefined
  }
}
