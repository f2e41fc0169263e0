/**
 * Knows which sequence and acknowledgment numbers a client's next packets can have, from what it has sent so far. The
 * source's kernel knows its own windows (RFC 9293 §3.10.7.4, RFC 5961 §5); a capture of one direction can only estimate
 * them.
 */
import { ACK, type Segment } from '../../wire/segment.ts'
import { add, distance, isAfter, later, type Seq, seq } from '../../wire/seq.ts'
import type { Snapshot } from '../memory/snapshot.ts'

/** How far around a known octet a sequence number is plausible at least: a super-packet. */
const REACH_LEAST = 1 << 16
/** How far ahead it is plausible at most. */
const REACH_MAX = 1 << 24
/** Limits of the largest window seen, in bytes. */
const WINDOW_LEAST = 1 << 16
const WINDOW_MAX = 1 << 24

export class Plausibility {
  /** The client's latest acknowledgment number; valid only if `hasAck`. */
  ack: Seq = seq(0)
  hasAck = false
  /** Offset after the farthest byte believed, whether it was kept or not. */
  reached: Seq = seq(0)
  /** The largest window that the client has advertised. */
  #windowBytes = WINDOW_LEAST
  /** The most that the client has sent within one of its round trips. */
  #flightBytes = 0
  /** In µs, as int32: whole numbers need no memory of their own. */
  #flightBeganAt = 0
  /** Offset of the first byte of the current flight. */
  #flightStart: Seq = seq(0)

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.ack = snapshot.seq(this.ack)
    this.hasAck = snapshot.flag(this.hasAck)
    this.reached = snapshot.seq(this.reached)
    this.#windowBytes = snapshot.whole(this.#windowBytes)
    this.#flightBytes = snapshot.whole(this.#flightBytes)
  }

  /** How far ahead of a known octet a sequence number is plausible. */
  get #reach(): number {
    return Math.min(Math.max(2 * this.#flightBytes, REACH_LEAST), REACH_MAX)
  }

  /** Whether an offset is near the end of the contiguous stream or near the farthest byte. */
  isNear(at: Seq, end: Seq): boolean {
    if (at === end) return true
    const reach = this.#reach
    const ahead = distance(at, end)
    if (ahead >= -REACH_LEAST && ahead <= reach) return true
    const beyond = distance(at, this.reached)
    return beyond >= -REACH_LEAST && beyond <= reach
  }

  /** Whether a segment has an acknowledgment number within two windows of what was seen. */
  isNearAck({ flags, ack }: Segment): boolean {
    return (flags & ACK) !== 0 && this.hasAck && this.isWithinWindows(ack, this.ack)
  }

  isWithinWindows(ack: Seq, known: Seq): boolean {
    return Math.abs(distance(ack, known)) <= 2 * this.#windowBytes
  }

  /** Whether a segment follows the farthest byte and acknowledges nothing new, as most segments of a write do. */
  continues({ ack }: Segment, at: Seq): boolean {
    return at === this.reached && ack === this.ack && this.hasAck
  }

  /** Takes the window of a segment that is believed. @param windowBytes scaled */
  learnWindow(windowBytes: number): void {
    if (windowBytes > this.#windowBytes) this.#windowBytes = Math.min(windowBytes, WINDOW_MAX)
  }

  /**
   * Takes bytes that are believed.
   * @param at offset of the first; @param length at least 1; @param rttUs the client's round trip, in µs
   */
  learnBytes(at: Seq, length: number, rttUs: number, now: number): void {
    const end = add(at, length)
    this.reach(end)
    const nowUs = (now * 1000) | 0
    if (((nowUs - this.#flightBeganAt) | 0) > rttUs) {
      this.#flightBeganAt = nowUs
      this.#flightStart = at
    }
    const flightBytes = distance(end, this.#flightStart)
    if (flightBytes > this.#flightBytes) this.#flightBytes = Math.min(flightBytes, REACH_MAX)
  }

  /** Bytes up to `end` are believed. */
  reach(end: Seq): void {
    this.reached = later(this.reached, end)
  }

  /** Takes an acknowledgment number that is believed, also one far before the latest. */
  learnAck(ack: Seq): void {
    if (ack === this.ack && this.hasAck) return
    if (this.hasAck && !isAfter(ack, this.ack) && this.isWithinWindows(ack, this.ack)) return
    this.ack = ack
    this.hasAck = true
  }
}
