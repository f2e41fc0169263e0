/** A copy group holds the sessions of one captured connection that is copied several times or to several targets. */
import type { Session } from '../session/session.ts'

export class CopyGroup {
  /** By place: the copies to the first target in order of their numbers, then those to the next target. */
  readonly members: (Session | undefined)[]
  /** Places of copies that ended before the connection did. They start again at its next payload. */
  readonly absent: number[] = []
  readonly #maps: readonly number[]
  readonly #copies: number

  /** @param maps indexes of the `-x` mappings of the connection; @param copies number of copies for each (`-n`) */
  constructor(maps: readonly number[], copies: number) {
    this.#maps = maps
    this.#copies = copies
    this.members = new Array<Session | undefined>(maps.length * copies).fill(undefined)
  }

  /** The session that the table of captured flows refers to. */
  get first(): Session | undefined {
    return this.members.find((member) => member !== undefined)
  }

  /** The number of the copy at a place. Copy 0 uses the client's own port. */
  copyAt(place: number): number {
    return place % this.#copies
  }

  /** Index of the mapping of the copy at a place. */
  mapAt(place: number): number {
    return this.#maps[Math.floor(place / this.#copies)] ?? -1
  }

  add(session: Session): void {
    this.members[this.#placeOf(session)] = session
  }

  /** @param isAgain the copy may start again at the connection's next payload */
  remove(session: Session, isAgain: boolean): void {
    const place = this.#placeOf(session)
    if (this.members[place] !== session) return
    this.members[place] = undefined
    if (isAgain) this.absent.push(place)
  }

  #placeOf({ identity }: Session): number {
    return this.#maps.indexOf(identity.mapIndex) * this.#copies + identity.copy
  }
}
