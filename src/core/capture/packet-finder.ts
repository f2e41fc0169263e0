/** Finds the IP packet in each frame, through tags and tunnels, and puts those together that came in fragments. */
import { Flaw } from '../../wire/flaw.ts'
import { isFragment } from '../../wire/ipv6.ts'
import { findIp, LinkType } from '../../wire/link-layer.ts'
import { Fragments } from './fragments.ts'

/** What was found is a fragment, whose packet is not whole yet. */
export const Incomplete = -1
export type Finding = Flaw | typeof Incomplete

export class PacketFinder {
  /** The packet that was found last: valid as long as its frame, and until `find` is called again. */
  bytes: Uint8Array = new Uint8Array(0)
  /** Where its IP header is: of IPv4 20 octets at least, of IPv6 40. */
  at = 0
  /** Octets present from `at`, and octets it had. */
  length = 0
  wireLength = 0
  /** It came in fragments. */
  isJoined = false
  readonly #fragments = new Fragments()

  /** Fragments of packets that did not become whole, and such that cannot be. */
  get lostFragments(): number {
    return this.#fragments.lostCount
  }

  /**
   * @param at where the frame begins, of which `capturedLength` octets are present
   * @returns None if there is a packet; Incomplete if there is a fragment, which is to be joined to others
   */
  find(bytes: Uint8Array, at: number, capturedLength: number, wireLength: number, linkType: number): Finding {
    const found = findIp(bytes, at, capturedLength, linkType)
    if (found < 0) return -found as Flaw // as: `findIp` returns Flaws
    this.#set(bytes, found, capturedLength - (found - at), wireLength - (found - at), false)
    return isFragment(bytes, found, this.length) ? Incomplete : Flaw.None
  }

  /**
   * Joins the fragment that was found to those before it.
   * @param timeMs when it was captured, on any clock
   * @returns None if there is a packet
   */
  join(timeMs: number): Finding {
    const fragments = this.#fragments
    if (!fragments.add(this.bytes, this.at, this.length, timeMs)) return Incomplete
    const inside = findIp(fragments.bytes, fragments.at, fragments.length, LinkType.Raw)
    if (inside < 0) return -inside as Flaw // as above
    const left = fragments.length - (inside - fragments.at)
    this.#set(fragments.bytes, inside, left, left, true)
    // Fragments in a tunnel whose packets were cut themselves: nobody does that.
    return isFragment(fragments.bytes, inside, left) ? Flaw.Fragment : Flaw.None
  }

  /** Gives up what is not whole: nothing more will come. */
  finish(): void {
    this.#fragments.finish()
  }

  #set(bytes: Uint8Array, at: number, length: number, wireLength: number, isJoined: boolean): void {
    this.bytes = bytes
    this.at = at
    this.length = length
    this.wireLength = wireLength
    this.isJoined = isJoined
  }
}
