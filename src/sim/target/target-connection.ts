/**
 * The target's end of one copied connection: a small TCP (RFC 9293) that answers as the source did and objects to
 * anything that a client's TCP would not send.
 */
import { ACK, FIN, PSH, RST, type Segment, SYN } from '../../wire/segment.ts'
import { add, distance, isAfter, isBefore, later, type Seq, seq } from '../../wire/seq.ts'
import { encodeOptions, writePacket } from '../network/packet.ts'
import { type Conversation, Ending, offsetOf, readBefore, requestLengthOf } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { TargetWeather } from '../scenario/weather.ts'
import { objectTo } from './objections.ts'
import { Quit, TargetApplication } from './target-application.ts'

const RTO_MS = 200
const RTO_MAX_MS = 3200
/** Retransmissions after which a connection is given up. */
const ATTEMPTS_MAX = 12

export class TargetConnection {
  hasClientFin = false
  isClosed = false
  /** The target ended it before the client did: the program quit, or the host restarted or gave up. */
  isCutShort = false
  /** A request arrived before the answer that its client had read first was sent. */
  hasOvertaken = false
  /** The client's FIN did. */
  hasEndOvertaken = false
  readonly conversation: Conversation
  /** The client address and port that the target sees. */
  readonly clientAddress: number
  readonly clientPort: number
  /** Offset of its first byte in the client's stream. */
  readonly start: number
  readonly #synSentAt: number
  /** Bytes of answers that the client had read before this connection. */
  readonly #readBefore: number
  readonly #application: TargetApplication
  readonly #options: TargetWeather
  readonly #scheduler: Scheduler
  readonly #transmit: (packet: Uint8Array) => void
  readonly #hasTimestamps: boolean
  readonly #isScaled: boolean
  readonly #hasSack: boolean
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
  /** Bytes received in order that the application has not read yet. */
  #unread = 0
  isEstablished = false
  #tsRecent: Seq
  /** Lengths of segments beyond a hole, by the offset where they begin. */
  readonly #held = new Map<number, number>()
  #finSeq: Seq | undefined
  #isFinished = false
  #attempts = 0
  #timerSerial = 0
  #duplicates = 0

  /**
   * @param syn the segment that opens the connection; @param synSentAt when it was sent
   * @param isFirst false: it continues where another connection ended, so only answers from there on count
   */
  constructor(
    conversation: Conversation,
    syn: Segment,
    synSentAt: number,
    isFirst: boolean,
    options: TargetWeather,
    scheduler: Scheduler,
    random: Random,
    transmit: (packet: Uint8Array) => void
  ) {
    this.conversation = conversation
    this.#synSentAt = synSentAt
    this.clientAddress = syn.fromAddress
    this.clientPort = syn.fromPort
    this.start = offsetOf(conversation, add(syn.seq, 1))
    this.#readBefore = isFirst ? 0 : readBefore(conversation, this.start)
    this.#application = new TargetApplication(conversation, this.start, options, scheduler, random, () => this.#read())
    this.#options = options
    this.#scheduler = scheduler

    this.#transmit = transmit
    this.#hasTimestamps = options.hasTimestamps && syn.hasTimestamps
    this.#hasSack = syn.sackPermitted
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

  /** Offset of the first byte that has not arrived in order. Bytes are compared as they arrive. */
  get end(): number {
    return offsetOf(this.conversation, this.#rcvNxt) - (this.hasClientFin ? 1 : 0)
  }

  /** Offset of the first byte that the program has not read. */
  get readTo(): number {
    return this.#application.readTo
  }

  /** Makes the host forget the connection, even if it has ended and only the session does not know it yet. */
  kill(): void {
    this.isCutShort = true
    if (!this.isClosed) this.#close()
  }

  onSegment(segment: Segment, sentAt: number): void {
    if (this.isClosed) {
      // TIME-WAIT; or, if the connection does not exist any more, RFC 9293 §3.10.7.1.
      if (segment.flags & RST) return
      if (this.#isFinished) this.#acknowledge()
      else if (segment.flags & ACK) this.#emit(RST, segment.ack, 0)
      return
    }
    if (segment.flags & SYN) {
      // The SYN of this connection again; or a challenge (RFC 5961 §4).
      if (segment.seq === add(this.#rcvNxt, -1) && !this.isEstablished) this.#sendFrom(this.#iss)
      else this.#acknowledge()
      return
    }
    // Late packets of the previous connection may not fit.
    if (sentAt > this.#synSentAt) objectTo(segment, this.#expected)
    const first = offsetOf(this.conversation, segment.seq)
    const isStranger = first < -1 || first > requestLengthOf(this.conversation) + 1
    const isOld = this.#hasTimestamps && segment.hasTimestamps && isBefore(segment.tsVal, this.#tsRecent)
    if (segment.flags & RST && segment.seq === this.#rcvNxt) {
      // A reset of the previous connection may fit, and may arrive after the SYN.
      if (sentAt <= this.#synSentAt) this.isCutShort = true
      this.#close()
      return
    }
    // RFC 9293 §3.10.7.4, SYN-RECEIVED: the segment acknowledges the SYN-ACK of another connection.
    if (!this.isEstablished && (segment.flags & (ACK | RST)) === ACK && segment.ack !== this.#sndMax) {
      this.#emit(RST, segment.ack, 0)
      return
    }
    // A reset elsewhere (RFC 5961 §3), a segment of another connection, PAWS (RFC 7323 §5), or an acknowledgment of
    // bytes that were never sent.
    if (segment.flags & RST || isStranger || isOld || !(segment.flags & ACK) || isAfter(segment.ack, this.#sndMax)) {
      this.#acknowledge()
      return
    }
    if (this.#application.hasQuit === Quit.Closes && isAfter(add(segment.seq, segment.payloadLength), this.#rcvNxt)) {
      // The program that would read it has quit.
      this.#reset()
      return
    }
    this.#takeAcknowledgment(segment)
    this.#takePayload(segment)
    this.#finish()
  }

  get #expected() {
    return {
      conversation: this.conversation,
      mss: this.#options.mss,
      hasTimestamps: this.#hasTimestamps,
      rightEdge: this.#rightEdge,
      iss: this.#iss,
      sndMax: this.#sndMax,
      tsNow: this.#tsNow()
    }
  }

  #takeAcknowledgment(segment: Segment): void {
    this.isEstablished = true
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
      const from = offsetOf(this.conversation, segment.seq)
      const known = this.#held.get(from) ?? 0
      this.#held.set(from, Math.max(known, payloadLength))
    }
    const before = this.#rcvNxt
    this.#drainHeld()
    if (this.#finSeq !== undefined && this.#finSeq === this.#rcvNxt && !this.hasClientFin) {
      if (this.conversation.ending === Ending.ClientCloses) this.hasEndOvertaken = this.#isAhead(this.end)
      this.hasClientFin = true
      this.#rcvNxt = add(this.#rcvNxt, 1)
    }
    if (this.#hasTimestamps && segment.hasTimestamps && !isAfter(segment.seq, before)) {
      this.#tsRecent = later(this.#tsRecent, segment.tsVal)
    }
    this.#unread += distance(this.#rcvNxt, before)
    if (payloadLength > 0 || segment.flags & FIN || isBefore(segment.seq, before)) this.#acknowledge()
    if (this.#rcvNxt !== before) this.#application.wake()
  }

  #drainHeld(): void {
    for (let isMoving = true; isMoving; ) {
      isMoving = false
      for (const [from, length] of this.#held) {
        const at = offsetOf(this.conversation, this.#rcvNxt)
        if (from > at) continue
        this.#held.delete(from)
        if (from + length <= at) continue
        if (this.#isAhead(from + length - 1)) this.hasOvertaken = true
        this.#rcvNxt = add(this.#rcvNxt, from + length - at)
        isMoving = true
      }
    }
  }

  #isAhead(offset: number): boolean {
    const answered = Math.max(0, distance(this.#sndMax, this.#iss) - 1)
    return readBefore(this.conversation, offset) - this.#readBefore > answered
  }

  #read(): void {
    if (this.isClosed) return
    const wasFull = this.#windowBytes() === 0
    this.#unread = 0
    this.#application.onRead(this.end, this.hasClientFin)
    if (this.#application.hasQuit !== Quit.Never) this.isCutShort = true
    if (this.#application.hasQuit === Quit.Resets) {
      this.#reset()
      return
    }
    if (wasFull) this.#acknowledge()
    this.#sendMore()
  }

  /** Sends the greeting, if the server speaks first. */
  begin(): void {
    this.#application.wake()
  }

  #windowBytes(): number {
    return Math.max(0, this.#options.bufferBytes - this.#unread)
  }

  /** The sequence number after the last byte that may be sent, FIN included. */
  #sendEnd(): Seq {
    return add(this.#iss, 1 + this.#application.answerBytes + (this.#application.hasClosed ? 1 : 0))
  }

  #sendMore(): void {
    if (!this.isEstablished || this.isClosed) return
    while (isBefore(this.#sndNxt, this.#sendEnd())) {
      if (this.#sndNxt !== this.#sndUna && distance(this.#sndNxt, this.#sndUna) >= this.#sndWnd) return
      this.#sendFrom(this.#sndNxt)
    }
  }

  /** Sends one segment from a sequence number on: the SYN, bytes of the answer, or the FIN. */
  #sendFrom(from: Seq): void {
    let length = 0
    let flags = ACK
    let end = from
    if (from === this.#iss) {
      flags |= SYN
      end = add(from, 1)
    } else {
      const answerEnd = add(this.#iss, 1 + this.#application.answerBytes)
      length = Math.max(0, Math.min(this.#peerMss - 12, distance(answerEnd, from)))
      end = add(from, length)
      if (end === answerEnd) flags |= PSH
      if (end === answerEnd && this.#application.hasClosed) {
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
    const isSyn = (flags & SYN) !== 0
    const shift = this.#isScaled && !isSyn ? this.#options.windowScale : 0
    const held = Math.max(0, distance(this.#rightEdge, this.#rcvNxt))
    const field = Math.min(65535, Math.max(this.#windowBytes(), held) >>> shift)
    this.#rightEdge = later(this.#rightEdge, add(this.#rcvNxt, field << shift))
    const options = isSyn ? [`mss ${this.#options.mss}`, 'sackOK'] : []
    if (this.#hasTimestamps) options.push('nop', 'nop', `ts ${this.#tsNow()} ${this.#tsRecent >>> 0}`)
    const blocks = this.#hasSack && !isSyn && !(flags & RST) ? this.#sackBlocks() : []
    if (blocks.length > 0) options.push('nop', 'nop', `sack ${blocks.join(' ')}`)
    if (isSyn && this.#isScaled) options.push('nop', `wscale ${this.#options.windowScale}`)
    this.#transmit(
      writePacket({
        ...targetAddressOf(),
        toAddress: this.clientAddress,
        toPort: this.clientPort,
        flags,
        seq: from,
        ack: this.#rcvNxt,
        window: field,
        payload: new Uint8Array(length),
        options: encodeOptions(options)
      })
    )
  }

  /** Up to three SACK blocks of ranges beyond a hole (RFC 2018). */
  #sackBlocks(): string[] {
    const blocks: [number, number][] = []
    for (const [from, length] of [...this.#held].sort(([a], [b]) => a - b)) {
      const last = blocks.at(-1)
      if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], from + length)
      else blocks.push([from, from + length])
    }
    const first = this.conversation.iss + 1
    return blocks.slice(0, 3).map(([from, to]) => `${(first + from) >>> 0}:${(first + to) >>> 0}`)
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
        this.kill()
        return
      }
      this.#sendFrom(this.#sndUna)
      this.#arm()
    })
    this.#sendMore()
  }

  #finish(): void {
    this.#sendMore()
    const isFinAcknowledged = this.#application.hasClosed && this.#sndUna === this.#sendEnd()
    if (!isFinAcknowledged || !this.hasClientFin) return
    this.#isFinished = true
    this.#close()
  }

  #reset(): void {
    this.#emit(RST | ACK, this.#sndMax, 0)
    this.#close()
  }

  #close(): void {
    this.isClosed = true
    this.#timerSerial += 1
    if (this.#unread === 0) return
    this.#unread = 0
    this.#application.readTo = this.end
  }
}

/** The target's own address and port. */
export function targetAddressOf(): { readonly fromAddress: number; readonly fromPort: number } {
  return { fromAddress: 0x0a000003, fromPort: 8080 }
}
