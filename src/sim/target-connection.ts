/**
 * The target's end of one copied connection: a small TCP receiver and sender after RFC 9293 that answers as the source
 * did, and that objects to whatever a client's TCP would not have sent.
 */
import assert from 'node:assert/strict'
import { ACK, FIN, PSH, RST, type Segment, SYN } from '../wire/segment.ts'
import { add, distance, isAfter, isBefore, later, type Seq, seq } from '../wire/seq.ts'
import { answerDue, type Conversation, clientOctet, Ending, readBefore, requestLengthOf } from './conversation.ts'
import { encodeOptions, writePacket } from './packet.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'

const RTO_MS = 200
const RTO_MAX_MS = 3200
/** A connection whose peer has gone is given up after so many retransmissions. */
const ATTEMPTS_MAX = 12
const MSL_TICKS = 2 ** 31

export interface TargetOptions {
  readonly mss: number
  readonly hasTimestamps: boolean
  readonly windowScale: number
  /** Octets of receive buffer. */
  readonly bufferBytes: number
  /** How long the application takes for an answer, at most. */
  readonly serviceMs: number
  /** Probability that the application stops reading for a while. */
  readonly stalling: number
}

export class TargetConnection {
  /** Octets of the client that the application has read; they are compared as they come. */
  readBytes = 0
  hasClientFin = false
  wasReset = false
  isClosed = false
  /** A request came before the answer that its client had read first. */
  hasOvertaken = false
  readonly conversation: Conversation
  readonly #options: TargetOptions
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #transmit: (packet: Uint8Array) => void
  readonly #hasTimestamps: boolean
  readonly #isScaled: boolean
  readonly #peerShift: number
  readonly #peerMss: number
  readonly #iss: Seq
  #sndUna: Seq
  #sndNxt: Seq
  #sndMax: Seq
  #sndWnd: number
  #rcvNxt: Seq
  /** The largest right edge ever advertised. */
  #rightEdge: Seq
  /** Octets in order that the application has not read yet. */
  #unread = 0
  #isStalled = false
  #isEstablished = false
  #tsRecent: Seq
  /** Segments beyond a hole, by where they begin. */
  readonly #held = new Map<number, number>()
  #finSeq: Seq | undefined
  /** Octets of answer that may be sent by now. */
  #answerBytes = 0
  #mayClose = false
  #attempts = 0
  #timerSerial = 0
  #duplicates = 0

  /** @param syn the segment that opens the connection */
  constructor(
    conversation: Conversation,
    syn: Segment,
    options: TargetOptions,
    scheduler: Scheduler,
    random: Random,
    transmit: (packet: Uint8Array) => void
  ) {
    this.conversation = conversation
    this.#options = options
    this.#scheduler = scheduler
    this.#random = random
    this.#transmit = transmit
    this.#hasTimestamps = options.hasTimestamps && syn.hasTimestamps
    this.#isScaled = options.windowScale >= 0 && syn.windowScale >= 0
    this.#peerShift = this.#isScaled ? syn.windowScale : 0
    this.#peerMss = syn.mss || 536
    this.#iss = seq(random.between(-(2 ** 31), 2 ** 31 - 1))
    this.#sndUna = this.#iss
    this.#sndNxt = this.#iss
    this.#sndMax = this.#iss
    this.#sndWnd = syn.window
    this.#rcvNxt = add(syn.seq, 1)
    this.#rightEdge = this.#rcvNxt
    this.#tsRecent = syn.tsVal
    this.#sendFrom(this.#sndNxt)
  }

  /** The next octet expected: what a challenge acknowledgment says. */
  get rcvNxt(): Seq {
    return this.#rcvNxt
  }

  onSegment(segment: Segment): void {
    if (this.isClosed) return
    if (segment.flags & SYN) {
      // RFC 5961 §4: a challenge; or the SYN of this connection once more.
      if (segment.seq === add(this.#rcvNxt, -1) && !this.#isEstablished) this.#sendFrom(this.#iss)
      else this.#acknowledge()
      return
    }
    this.#object(segment)
    const isOld = this.#hasTimestamps && segment.hasTimestamps && isBefore(segment.tsVal, this.#tsRecent)
    if (segment.flags & RST && segment.seq === this.#rcvNxt) {
      this.wasReset = true
      this.#close()
      return
    }
    // A reset elsewhere (RFC 5961 §3), PAWS (RFC 7323 §5), and what acknowledges octets that were never sent.
    if (segment.flags & RST || isOld || !(segment.flags & ACK) || isAfter(segment.ack, this.#sndMax)) {
      this.#acknowledge()
      return
    }
    this.#takeAcknowledgment(segment)
    this.#takePayload(segment)
    this.#finish()
  }

  /** What a real client would not do is a bug of the session. */
  #object(segment: Segment): void {
    const length = segment.payloadLength
    assert.ok(length <= this.#options.mss, `a segment of ${length} octets is larger than the MSS`)
    assert.equal(segment.hasTimestamps && !(segment.flags & RST), this.#hasTimestamps && !(segment.flags & RST))
    if (length > 0) {
      const beyond = distance(add(segment.seq, length), this.#rightEdge)
      assert.ok(beyond <= 0, `a segment goes ${beyond} octets beyond the window`)
    }
    if (this.#hasTimestamps && segment.flags & ACK) {
      const echo = segment.tsEcr >>> 0
      assert.ok(echo <= this.#tsNow() && this.#tsNow() - echo < MSL_TICKS, `TSecr ${echo} was never sent`)
    }
    for (let index = 0; index < length; index++) {
      const offset = distance(add(segment.seq, index), seq(this.conversation.iss)) - 1
      const octet = segment.bytes[segment.payloadAt + index]
      if (offset >= 0)
        assert.equal(octet, clientOctet(this.conversation, offset), `octet ${offset} is not the client's`)
    }
  }

  #takeAcknowledgment(segment: Segment): void {
    this.#isEstablished = true
    const window = segment.window << this.#peerShift
    if (segment.ack === this.#sndUna && this.#sndMax !== this.#sndUna && segment.payloadLength === 0) {
      this.#duplicates += 1
      if (this.#duplicates === 3) this.#sendFrom(this.#sndUna)
    }
    this.#sndWnd = window
    if (!isAfter(segment.ack, this.#sndUna)) return
    this.#sndUna = segment.ack
    this.#sndNxt = later(this.#sndNxt, this.#sndUna)
    this.#duplicates = 0
    this.#attempts = 0
    this.#arm()
  }

  #takePayload(segment: Segment): void {
    const { payloadLength } = segment
    if (segment.flags & FIN) this.#finSeq = add(segment.seq, payloadLength)
    if (payloadLength > 0) {
      const from = distance(segment.seq, seq(this.conversation.iss)) - 1
      const known = this.#held.get(from) ?? 0
      this.#held.set(from, Math.max(known, payloadLength))
    }
    const before = this.#rcvNxt
    this.#drainHeld()
    if (this.#finSeq !== undefined && this.#finSeq === this.#rcvNxt && !this.hasClientFin) {
      this.hasClientFin = true
      this.#rcvNxt = add(this.#rcvNxt, 1)
    }
    if (this.#hasTimestamps && segment.hasTimestamps && !isAfter(segment.seq, before)) {
      this.#tsRecent = later(this.#tsRecent, segment.tsVal)
    }
    this.#unread += distance(this.#rcvNxt, before)
    if (payloadLength > 0 || segment.flags & FIN || isBefore(segment.seq, before)) this.#acknowledge()
    if (this.#rcvNxt !== before) this.#wakeApplication()
  }

  #drainHeld(): void {
    for (let isMoving = true; isMoving; ) {
      isMoving = false
      for (const [from, length] of this.#held) {
        const at = distance(this.#rcvNxt, seq(this.conversation.iss)) - 1
        if (from > at) continue
        this.#held.delete(from)
        if (from + length <= at) continue
        this.#noteOrder(at, from + length)
        this.#rcvNxt = add(this.#rcvNxt, from + length - at)
        isMoving = true
      }
    }
  }

  #noteOrder(from: number, to: number): void {
    const answered = Math.max(0, distance(this.#sndMax, this.#iss) - 1)
    for (let offset = from; offset < to; offset++) {
      if (readBefore(this.conversation, offset) > answered) this.hasOvertaken = true
    }
  }

  #wakeApplication(): void {
    if (this.#isStalled) return
    if (this.#random.chance(this.#options.stalling)) {
      this.#isStalled = true
      this.#scheduler.after(this.#random.skewed(1, 3000), () => {
        this.#isStalled = false
        this.#read()
      })
      return
    }
    this.#scheduler.after(this.#random.next() * this.#options.serviceMs, () => this.#read())
  }

  #read(): void {
    if (this.isClosed || this.#isStalled) return
    const wasFull = this.#windowBytes() === 0
    this.#unread = 0
    this.readBytes = distance(this.#rcvNxt, seq(this.conversation.iss)) - 1 - (this.hasClientFin ? 1 : 0)
    const due = answerDue(this.conversation, this.readBytes)
    const isAllRead = this.readBytes === requestLengthOf(this.conversation)
    this.#answerBytes = due
    if ((isAllRead && this.conversation.ending === Ending.ServerCloses) || this.hasClientFin) this.#mayClose = true
    if (wasFull) this.#acknowledge()
    this.#sendMore()
  }

  /** Sends the greeting, if the server speaks first. */
  begin(): void {
    this.#wakeApplication()
  }

  #windowBytes(): number {
    return Math.max(0, this.#options.bufferBytes - this.#unread)
  }

  /** One beyond the last octet that may be sent, the FIN included. */
  #sendEnd(): Seq {
    return add(this.#iss, 1 + this.#answerBytes + (this.#mayClose ? 1 : 0))
  }

  #sendMore(): void {
    if (!this.#isEstablished || this.isClosed) return
    while (isBefore(this.#sndNxt, this.#sendEnd())) {
      if (this.#sndNxt !== this.#sndUna && distance(this.#sndNxt, this.#sndUna) >= this.#sndWnd) return
      this.#sendFrom(this.#sndNxt)
    }
  }

  /** Sends one segment from a sequence number on: the SYN, octets of the answer, or the FIN. */
  #sendFrom(from: Seq): void {
    let length = 0
    let flags = ACK
    let end = from
    if (from === this.#iss) {
      flags |= SYN
      end = add(from, 1)
    } else {
      const octetsEnd = add(this.#iss, 1 + this.#answerBytes)
      length = Math.max(0, Math.min(this.#peerMss - 12, distance(octetsEnd, from)))
      end = add(from, length)
      if (end === octetsEnd) flags |= PSH
      if (end === octetsEnd && this.#mayClose) {
        flags |= FIN
        end = add(end, 1)
      }
    }
    this.#emit(flags, from, length)
    if (this.#sndNxt === from) this.#sndNxt = end
    const isFirst = this.#sndMax === this.#sndUna
    this.#sndMax = later(this.#sndMax, end)
    if (isFirst) this.#arm()
  }

  #acknowledge(): void {
    this.#emit(ACK, this.#sndMax, 0)
  }

  #emit(flags: number, from: Seq, length: number): void {
    const { clientAddress, clientPort } = this.conversation
    const isSyn = (flags & SYN) !== 0
    const shift = this.#isScaled && !isSyn ? this.#options.windowScale : 0
    const held = Math.max(0, distance(this.#rightEdge, this.#rcvNxt))
    const field = Math.min(65535, Math.max(this.#windowBytes(), held) >>> shift)
    this.#rightEdge = later(this.#rightEdge, add(this.#rcvNxt, field << shift))
    const options = isSyn ? [`mss ${this.#options.mss}`, 'sackOK'] : []
    if (this.#hasTimestamps) options.push('nop', 'nop', `ts ${this.#tsNow()} ${this.#tsRecent >>> 0}`)
    if (isSyn && this.#isScaled) options.push('nop', `wscale ${this.#options.windowScale}`)
    this.#transmit(
      writePacket({
        ...targetAddressOf(),
        toAddress: clientAddress,
        toPort: clientPort,
        flags,
        seq: from,
        ack: this.#rcvNxt,
        window: field,
        payload: new Uint8Array(length),
        options: encodeOptions(options)
      })
    )
  }

  #tsNow(): number {
    return Math.floor(this.#scheduler.now()) >>> 0
  }

  #arm(): void {
    const serial = ++this.#timerSerial
    if (this.#sndUna === this.#sndMax) {
      this.#sendMore()
      return
    }
    const rto = Math.min(RTO_MAX_MS, RTO_MS * 2 ** this.#attempts)
    this.#scheduler.after(rto, () => {
      if (serial !== this.#timerSerial || this.isClosed) return
      this.#attempts += 1
      if (this.#attempts > ATTEMPTS_MAX) {
        this.#close()
        return
      }
      this.#sendFrom(this.#sndUna)
      this.#arm()
    })
    this.#sendMore()
  }

  #finish(): void {
    this.#sendMore()
    const isFinAcknowledged = this.#mayClose && this.#sndUna === this.#sendEnd()
    if (isFinAcknowledged && this.hasClientFin) this.#close()
  }

  #close(): void {
    this.isClosed = true
    this.#timerSerial += 1
    if (this.#unread > 0) {
      this.#unread = 0
      this.readBytes = distance(this.#rcvNxt, seq(this.conversation.iss)) - 1 - (this.hasClientFin ? 1 : 0)
    }
  }
}

/** The target's own address and port. */
export function targetAddressOf(): { readonly fromAddress: number; readonly fromPort: number } {
  return { fromAddress: 0x0a000003, fromPort: 8080 }
}
