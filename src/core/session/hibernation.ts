/**
 * Stores hibernated sessions. A session with nothing to do is turned from objects into a row of numbers, which takes an
 * eighth of the memory and which the garbage collector never visits. The next packet, or a time limit, makes the same
 * session of it again. `idle-policy.ts` decides when a session hibernates.
 */
import { seq } from '../../wire/seq.ts'
import { Rows, Snapshot } from '../memory/snapshot.ts'
import { type CopiedIdentity, NO_IDENTITY, saveIdentity } from '../target/copied-identity.ts'
import { Session } from './session.ts'
import type { SessionContext } from './session-context.ts'

/** Rows are allocated 2^ROWS_BITS at a time. */
const ROWS_BITS = 10
const ROWS_MASK = (1 << ROWS_BITS) - 1

const NO_START = { iss: seq(0), tsVal: seq(0), windowBytes: 0, capturedAt: 0 }

/** All hibernated sessions, each in the row of its slot. */
export class HibernatedSessions {
  readonly #context: SessionContext<never>
  readonly #rows: (Rows | undefined)[] = []
  readonly #snapshot = new Snapshot()

  constructor(context: SessionContext<never>) {
    this.#context = context
  }

  /** Saves a session whose `hibernateAt` has passed. The object must not be used afterwards. */
  put(session: Session): void {
    const snapshot = this.#snapshot
    // The first session determines the width of a row.
    if (!snapshot.isMeasured) snapshot.measure(() => save(snapshot, session))
    snapshot.beginWriting(this.#rowsOf(session.id), session.id & ROWS_MASK)
    save(snapshot, session)
    snapshot.end()
  }

  /** The copied identity of the session of a slot; undefined if none hibernates there. */
  identityOf(slot: number): CopiedIdentity | undefined {
    return this.#beginReading(slot) === undefined ? undefined : saveIdentity(this.#snapshot, NO_IDENTITY)
  }

  /** @returns the restored session of a slot, its deadline not armed; undefined if none hibernates there */
  wake(slot: number, now: number): Session | undefined {
    const rows = this.#beginReading(slot)
    if (rows === undefined) return undefined
    const identity = saveIdentity(this.#snapshot, NO_IDENTITY)
    const session = new Session(slot, identity, NO_START, this.#context, now)
    session.save(this.#snapshot)
    this.#snapshot.end()
    rows.clear(slot & ROWS_MASK)
    return session
  }

  /** Starts to read the row of a slot. @returns the rows that contain it; undefined if it is empty */
  #beginReading(slot: number): Rows | undefined {
    const rows = this.#rows[slot >> ROWS_BITS]
    if (rows?.isTaken(slot & ROWS_MASK) !== true) return undefined
    this.#snapshot.beginReading(rows, slot & ROWS_MASK)
    return rows
  }

  #rowsOf(slot: number): Rows {
    const index = slot >> ROWS_BITS
    while (this.#rows.length <= index) this.#rows.push(undefined)
    const rows = this.#rows[index] ?? new Rows(1 << ROWS_BITS, this.#snapshot.widths)
    this.#rows[index] = rows
    return rows
  }
}

function save(snapshot: Snapshot, session: Session): void {
  saveIdentity(snapshot, session.identity)
  session.save(snapshot)
}
