/** Finds the IP packet in each captured frame, behind tags and inside tunnels, and reassembles fragments. */
import { Flaw } from '../../wire/flaw.ts'
import { isFragment } from '../../wire/ipv6.ts'
import { findIp, LinkType } from '../../wire/link-layer.ts'
import { Fragments } from './fragments.ts'

/** The frame has a fragment, and its packet is not complete. */
export const Incomplete = -1
export type Finding = Flaw | typeof Incomplete

export class PacketFinder {
  /** Holds the last packet found, valid as long as its frame and until the next `find`. */
  bytes: Uint8Array = new Uint8Array(0)
  /** Where its IP header begins, of which at least 20 bytes (IPv4) or 40 bytes (IPv6) are present. */
  at = 0
  /** Bytes present from `at`. */
  length = 0
  /** Bytes of the packet on the wire. */
  wireLength = 0
  /** The packet was reassembled from fragments. */
  isJoined = false
  readonly #fragments = new Fragments()

  /** Fragments of packets that never became complete, and invalid fragments. */
  get lostFragments(): number {
    return this.#fragments.lostCount
  }

  /**
   * @param at where the frame begins, of which `capturedLength` bytes are present
   * @returns None if there is a packet; Incomplete if there is a fragment, which `join` then takes
   */
  find(bytes: Uint8Array, at: number, capturedLength: number, wireLength: number, linkType: number): Finding {
    const found = findIp(bytes, at, capturedLength, linkType)
    if (found < 0) return -found as Flaw // as: `findIp` returns Flaws
    this.#set(bytes, found, capturedLength - (found - at), wireLength - (found - at), false)
    return isFragment(bytes, found, this.length) ? Incomplete : Flaw.None
  }

  /**
   * Joins the fragment that `find` found to earlier ones.
   * @param timeMs when it was captured, on any clock
   * @returns None if its packet is complete
   */
  join(timeMs: number): Finding {
    const fragments = this.#fragments
    if (!fragments.add(this.bytes, this.at, this.length, timeMs)) return Incomplete
    const inside = findIp(fragments.bytes, fragments.at, fragments.length, LinkType.Raw)
    if (inside < 0) return -inside as Flaw // as: `findIp` returns Flaws
    const left = fragments.length - (inside - fragments.at)
    this.#set(fragments.bytes, inside, left, left, true)
    // Fragments inside fragmented tunnel packets are not supported. Nobody uses them.
    return isFragment(fragments.bytes, inside, left) ? Flaw.Fragment : Flaw.None
  }

  /** Gives up incomplete packets, because no more fragments follow. */
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
