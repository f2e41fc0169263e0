/** The sessions of one captured connection that is copied several times (`-n`). */
import type { Session } from './session.ts'

export class CopyGroup {
  /** By number of the copy; 0 is the one that speaks with the client's own port. */
  readonly members: (Session | undefined)[]
  /** Numbers of copies that ended before the connection did: they begin again at its next payload. */
  readonly absent: number[] = []

  constructor(count: number) {
    this.members = new Array<Session | undefined>(count).fill(undefined)
  }

  /** The one that stands for all in the table of captured flows. */
  get first(): Session | undefined {
    return this.members.find((member) => member !== undefined)
  }

  /** Another session goes on in the place of one. */
  replace(session: Session, by: Session): void {
    if (this.members[session.origin.copy] === session) this.members[session.origin.copy] = by
  }

  remove(session: Session, isAgain: boolean): void {
    const { copy } = session.origin
    if (this.members[copy] !== session) return
    this.members[copy] = undefined
    if (isAgain) this.absent.push(copy)
  }
}
