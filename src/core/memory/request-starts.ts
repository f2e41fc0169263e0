/**
 * Decides where a client's requests begin in its stream: with the first bytes that it sent after it had read more of
 * the source's answers. Bytes must be shown in the order of the stream.
 */
import { add, distance, isAfter, type Seq, seq } from '../../wire/seq.ts'
import type { Snapshot } from './snapshot.ts'

/** Acknowledgment numbers are compared over at most this distance. */
const COMPARABLE_MAX = 1 << 30

export class RequestStarts {
  /** Acknowledgment number of the request that began last. */
  ack: Seq = seq(0)
  #hasBegun = false
  /** The first request began in the SYN (RFC 7413), which has no acknowledgment number. */
  #isInSyn = false
  /** Acknowledgment number of the last request that was refused before it became part of the stream. */
  #refusedAck: Seq = seq(0)
  #hasRefused = false

  /** See `Snapshot`. */
  save(snapshot: Snapshot): void {
    this.ack = snapshot.seq(this.ack)
    this.#hasBegun = snapshot.flag(this.#hasBegun)
    this.#isInSyn = snapshot.flag(this.#isInSyn)
  }

  /** Takes the next bytes of the stream. They may be shown again. @returns whether a request begins with them */
  begins(ack: Seq): boolean {
    if (this.#hasBegun && !this.#isInSyn && !isAfter(ack, this.ack)) return false
    const isNew = !this.#isInSyn && !(this.#hasRefused && ack === this.#refusedAck)
    this.ack = ack
    this.#hasBegun = true
    this.#isInSyn = false
    return isNew
  }

  /** Takes bytes of a SYN. @returns whether a request begins with them */
  beginsInSyn(): boolean {
    if (this.#hasBegun) return false
    this.#hasBegun = true
    this.#isInSyn = true
    return true
  }

  /** Acknowledgment number of the last request, refused ones included; undefined if there was none. */
  get lastAck(): Seq | undefined {
    const hasRefusedLast = this.#hasRefused && !(this.#hasBegun && isAfter(this.ack, this.#refusedAck))
    if (hasRefusedLast) return this.#refusedAck
    return this.#hasBegun && !this.#isInSyn ? this.ack : undefined
  }

  /** The client's first acknowledgment number: nothing of an answer is read yet. */
  connects(ack: Seq): void {
    if (this.#isInSyn) this.begins(ack)
  }

  /** Takes bytes that do not become part of the stream. @returns whether a request begins with them */
  refuses(ack: Seq): boolean {
    if (this.#hasBegun && !isAfter(ack, this.ack)) return false
    if (this.#hasRefused && !isAfter(ack, this.#refusedAck)) return false
    this.#hasRefused = true
    this.#refusedAck = ack
    return true
  }

  /** Takes a captured acknowledgment number, so that no later one is too far from the last request's to compare. */
  saw(ack: Seq): void {
    if (distance(ack, this.ack) > COMPARABLE_MAX) this.ack = add(ack, -COMPARABLE_MAX)
  }
}
