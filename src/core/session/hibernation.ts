/**
 * A session that has had nothing to do for a while lies down: its objects go, and what it has to know stays as a row of
 * numbers, an eighth of the memory, which the collector never looks at. The next packet, or its time limit, makes the
 * same session of them again. When that is, `idlePolicy.ts` says.
 */
import { seq } from '../../wire/seq.ts'
import { Rows, Snapshot } from '../memory/snapshot.ts'
import { saveIdentity } from '../target/copied-identity.ts'
import { ClientEnd } from './client-end.ts'
import { ClientStream } from './client-stream.ts'
import { Session } from './session.ts'
import type { CopiedIdentity, SessionContext } from './session-context.ts'

/** With how many failures a session began that goes on from no other. */
const NO_HERITAGE = -1
/** Rows that are made at once, as a power of two. */
const ROWS_BITS = 10
const ROWS_MASK = (1 << ROWS_BITS) - 1

const snapshot = new Snapshot()
const nothing = seq(0)

/** Sessions at rest, each in the row of its slot. */
export class HibernatedSessions {
  readonly #rows: (Rows | undefined)[] = []

  /** @param session its `hibernateAt` has come; nobody may use it from now on */
  lay(session: Session): void {
    const { id, identity, heritage, stream } = session
    snapshot.beginWriting(this.#rowsOf(id), id & ROWS_MASK)
    saveIdentity(snapshot, identity)
    snapshot.whole(heritage?.failures ?? NO_HERITAGE)
    // All that was sent is acknowledged.
    snapshot.seq(stream.end)
    session.save(snapshot)
    snapshot.end()
  }

  /** As whom the session of a slot speaks; undefined if none rests there. */
  identityOf(slot: number): CopiedIdentity | undefined {
    return this.#beginReading(slot) === undefined ? undefined : saveIdentity(snapshot)
  }

  /** @returns the session of a slot, as it was, its deadline not armed; undefined if none rests there */
  wake(slot: number, context: SessionContext, now: number): Session | undefined {
    const rows = this.#beginReading(slot)
    if (rows === undefined) return undefined
    const identity = saveIdentity(snapshot)
    const failures = snapshot.whole(NO_HERITAGE)
    const sentEnd = snapshot.seq(nothing)
    const heritage =
      failures === NO_HERITAGE
        ? undefined
        : {
            stream: new ClientStream(nothing, context.pool, context.counters),
            clientEnd: new ClientEnd(),
            clientRttMs: 0,
            failures,
            sentEnd
          }
    const start = { iss: nothing, tsVal: nothing, windowBytes: 0, heritage }
    const session = new Session(slot, identity, start, context, now)
    session.save(snapshot)
    snapshot.end()
    rows.clear(slot & ROWS_MASK)
    return session
  }

  /** @returns where the row of a slot is; undefined if it is empty */
  #beginReading(slot: number): Rows | undefined {
    const rows = this.#rows[slot >> ROWS_BITS]
    if (rows?.isTaken(slot & ROWS_MASK) !== true) return undefined
    snapshot.beginReading(rows, slot & ROWS_MASK)
    return rows
  }

  #rowsOf(slot: number): Rows {
    const index = slot >> ROWS_BITS
    while (this.#rows.length <= index) this.#rows.push(undefined)
    const rows = this.#rows[index] ?? new Rows(1 << ROWS_BITS)
    this.#rows[index] = rows
    return rows
  }
}
