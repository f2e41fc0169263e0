/**
 * A session that has had nothing to do for a while hibernates: its objects go, and what it has to know stays as a row of
 * numbers, an eighth of the memory, which the collector never looks at. The next packet, or its time limit, makes the
 * same session of them again. When it hibernates, `idle-policy.ts` says.
 */
import { seq } from '../../wire/seq.ts'
import { Rows, Snapshot } from '../memory/snapshot.ts'
import { type CopiedIdentity, NO_IDENTITY, saveIdentity } from '../target/copied-identity.ts'
import { Session } from './session.ts'
import type { SessionContext } from './session-context.ts'

/** Rows that are made at once, as a power of two. */
const ROWS_BITS = 10
const ROWS_MASK = (1 << ROWS_BITS) - 1

const NO_START = { iss: seq(0), tsVal: seq(0), windowBytes: 0 }

/** Sessions in hibernation, each in the row of its slot. */
export class HibernatedSessions {
  readonly #context: SessionContext<never>
  readonly #rows: (Rows | undefined)[] = []
  readonly #snapshot = new Snapshot()

  constructor(context: SessionContext<never>) {
    this.#context = context
  }

  /** @param session its `hibernateAt` has come; nobody may use it from now on */
  put(session: Session): void {
    const snapshot = this.#snapshot
    // The first one tells how wide a row is.
    if (!snapshot.isMeasured) snapshot.measure(() => save(snapshot, session))
    snapshot.beginWriting(this.#rowsOf(session.id), session.id & ROWS_MASK)
    save(snapshot, session)
    snapshot.end()
  }

  /** As whom the session of a slot speaks; undefined if none hibernates there. */
  identityOf(slot: number): CopiedIdentity | undefined {
    return this.#beginReading(slot) === undefined ? undefined : saveIdentity(this.#snapshot, NO_IDENTITY)
  }

  /** @returns the session of a slot, as it was, its deadline not armed; undefined if none hibernates there */
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

  /** @returns where the row of a slot is; undefined if it is empty */
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
