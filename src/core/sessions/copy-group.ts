/** The sessions of one captured connection that is copied several times: to several targets, several times to each. */
import type { Session } from '../session/session.ts'

export class CopyGroup {
  /** By place: the copies to the first target by number, then those to the next one. */
  readonly members: (Session | undefined)[]
  /** Places of copies that ended before the connection did: they begin again at its next payload. */
  readonly absent: number[] = []
  readonly #maps: readonly number[]
  readonly #copies: number

  /** @param maps indexes of the maps that want copies; @param copies how many each of them wants (`-n`) */
  constructor(maps: readonly number[], copies: number) {
    this.#maps = maps
    this.#copies = copies
    this.members = new Array<Session | undefined>(maps.length * copies).fill(undefined)
  }

  /** The one that stands for all in the table of captured flows. */
  get first(): Session | undefined {
    return this.members.find((member) => member !== undefined)
  }

  /** Number of the copy that has this place; 0 is the one that speaks with the client's own port. */
  copyAt(place: number): number {
    return place % this.#copies
  }

  /** Index of the map whose copies this place belongs to. */
  mapAt(place: number): number {
    return this.#maps[Math.floor(place / this.#copies)] ?? -1
  }

  add(session: Session): void {
    this.members[this.#placeOf(session)] = session
  }

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
