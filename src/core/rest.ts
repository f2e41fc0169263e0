/**
 * A session that has had nothing to do for a while lies down: its objects go, and what it has to know stays as a list of
 * numbers, a third of the memory. The next packet, or its time limit, makes the same session of them again.
 */
import { type Seq, seq } from '../wire/seq.ts'
import { ClientEnd } from './client-end.ts'
import { ClientStream } from './client-stream.ts'
import { Session } from './session.ts'
import type { Origin, SessionContext } from './session-context.ts'

/** So long nothing has to happen; to wake a session takes as long as a few requests of it. */
export const REST_AFTER_MS = 10_000
/** With how many failures a session began that goes on from no other. */
const NO_HERITAGE = -1

/**
 * Each part of a session passes all its numbers through, always in the same order: laid down they are written, and
 * come back as they are; taken up they come back as they were.
 */
export class Passage {
  readonly #numbers: number[] = []
  #taken: readonly number[] | undefined
  #at = 0

  /** Writes from now on. */
  beginWriting(): void {
    this.#taken = undefined
    this.#numbers.length = 0
  }

  /** Reads from now on. */
  beginReading(numbers: readonly number[]): void {
    this.#taken = numbers
    this.#at = 0
  }

  /** What was written, without room for more. */
  written(): readonly number[] {
    return this.#numbers.slice()
  }

  number(value: number): number {
    if (this.#taken !== undefined) return this.#taken[this.#at++] ?? Number.NaN
    this.#numbers.push(value)
    return value
  }

  seq(value: Seq): Seq {
    return seq(this.number(value))
  }

  flag(value: boolean): boolean {
    return this.number(value ? 1 : 0) === 1
  }
}

const passage = new Passage()

/** A session at rest. */
export class Resting {
  readonly origin: Origin
  readonly #failures: number
  /** All that was sent is acknowledged. */
  readonly #sentEnd: Seq
  readonly #numbers: readonly number[]

  /** Of a session whose `restAt` has come; nobody may use it from now on. */
  constructor(session: Session) {
    this.origin = session.origin
    this.#failures = session.heritage?.failures ?? NO_HERITAGE
    this.#sentEnd = session.stream.end
    passage.beginWriting()
    session.pass(passage)
    this.#numbers = passage.written()
  }

  /** @returns the session as it was; its deadline is not armed */
  wake(id: number, context: SessionContext, now: number): Session {
    const nothing = seq(0)
    const heritage =
      this.#failures === NO_HERITAGE
        ? undefined
        : {
            stream: new ClientStream(nothing, context.pool, context.counters),
            clientEnd: new ClientEnd(),
            clientRttMs: 0,
            failures: this.#failures,
            sentEnd: this.#sentEnd
          }
    const beginning = { iss: nothing, tsVal: nothing, windowBytes: 0, heritage }
    const session = new Session(id, this.origin, beginning, context, now)
    passage.beginReading(this.#numbers)
    session.pass(passage)
    return session
  }
}
