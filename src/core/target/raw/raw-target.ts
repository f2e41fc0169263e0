/**
 * The raw target side: a TCP connection of our own that uses the client's address, port and sequence numbers, and whose
 * answers intercept returns.
 */
import { ACK, RST, type Segment } from '../../../wire/segment.ts'
import { add, type Seq } from '../../../wire/seq.ts'
import { Drop } from '../../books/drop.ts'
import type { SendQueue } from '../../memory/send-queue.ts'
import type { Snapshot } from '../../memory/snapshot.ts'
import { Purpose } from '../../packets/purpose.ts'
import { ControlBlock } from '../../tcp/control-block.ts'
import { Input } from '../../tcp/input.ts'
import { Opening } from '../../tcp/opening.ts'
import { Output } from '../../tcp/output.ts'
import { Receiver } from '../../tcp/receiver.ts'
import { SegmentWriter } from '../../tcp/segment-writer.ts'
import { Sender } from '../../tcp/sender.ts'
import type { CopiedIdentity } from '../copied-identity.ts'
import type { ConnectionStart } from '../target-hub.ts'
import { type AnswerRhythm, TargetEnd, type TargetSide, TargetState } from '../target-side.ts'
import type { RawContext } from './raw-context.ts'

const NEVER = Number.POSITIVE_INFINITY

export class RawTarget implements TargetSide {
  readonly tcb: ControlBlock
  state: TargetState = TargetState.Waiting
  sentEnd: Seq
  acknowledgedEnd: Seq
  end: TargetEnd = TargetEnd.Silent
  progressAt: number
  deadline = NEVER
  segmentMax: number
  readonly #identity: CopiedIdentity
  readonly #context: RawContext
  readonly #sender: Sender
  readonly #receiver: Receiver
  readonly #writer: SegmentWriter
  readonly #opening: Opening
  readonly #output: Output
  readonly #input: Input

  constructor(slot: number, identity: CopiedIdentity, start: ConnectionStart, context: RawContext, now: number) {
    const tcb = new ControlBlock(slot, identity, start.base, start.tsVal)
    const sender = new Sender(tcb)
    const receiver = new Receiver(tcb)
    const writer = new SegmentWriter(tcb, sender, receiver, context)
    this.tcb = tcb
    this.#identity = identity
    this.#context = context
    this.#sender = sender
    this.#receiver = receiver
    this.#writer = writer
    this.#opening = new Opening(tcb, sender, receiver, writer, context, start.clientRttMs)
    this.segmentMax = this.#opening.segmentMax
    this.#output = new Output(tcb, sender, receiver, writer, context)
    this.#input = new Input(tcb, sender, receiver, this.#opening, this.#output, context.counters)
    receiver.sawWindow(start.windowBytes)
    this.progressAt = now
    this.sentEnd = tcb.offsetOf(tcb.sndMax)
    this.acknowledgedEnd = tcb.offsetOf(tcb.sndUna)
  }

  get start(): Seq {
    return this.tcb.offsetOf(this.tcb.first)
  }

  get isFresh(): boolean {
    return this.tcb.isFresh
  }

  get rhythm(): AnswerRhythm {
    return this.#receiver
  }

  get roundTripMs(): number {
    return this.#sender.roundTrip.smoothedMs
  }

  get isQuiescent(): boolean {
    return this.#receiver.isQuiescent && this.#opening.isAcknowledged && this.#sender.rtoAt === NEVER
  }

  get isClosed(): boolean {
    return this.#output.isFinSent && this.tcb.isAllAcknowledged && this.#receiver.isClosed
  }

  get waitsFor(): string {
    const { sndWnd, flightBytes } = this.tcb
    if (this.state === TargetState.Opening) return "the target's SYN-ACK"
    if (!this.#opening.isAcknowledged) return "the client's own acknowledgment, and its time"
    if (flightBytes + this.#sender.segmentMax > sndWnd) return "the target's window"
    return 'acknowledgments: the congestion window is full'
  }

  open(start: Seq, now: number): void {
    const { tcb } = this
    tcb.iss = add(tcb.sequenceOf(start), -1)
    this.#sender.begin()
    this.#enter(TargetState.Opening)
    this.progressAt = now
    this.#context.reach.opened(this.#identity.mapIndex, this.#identity.clientAddress)
    this.#context.routes.announce(tcb.slot, tcb)
    this.#sendSyn(now)
    this.#moved()
  }

  #sendSyn(now: number): void {
    this.#opening.send(now)
    if (this.#opening.attempts === 2) this.#context.reach.overdue(this.#identity.mapIndex, this.#identity.clientAddress)
    this.#context.loops?.sentSyn(this.tcb, now)
  }

  /** Updates the fields that the session reads from the control block. */
  #moved(): void {
    const { tcb } = this
    this.sentEnd = tcb.offsetOf(tcb.sndMax)
    this.acknowledgedEnd = tcb.offsetOf(tcb.sndUna)
  }

  #enter(state: TargetState): void {
    this.state = state
    this.tcb.state = state
  }

  clientConnected(rttMs: number, now: number): void {
    this.#opening.clientHasAcknowledged(rttMs, now)
  }

  clientWindow(bytes: number): void {
    this.#receiver.sawWindow(bytes)
  }

  /** The start of another connection for the same client. */
  nextStart(clientRttMs: number): ConnectionStart {
    const { base, tsVal } = this.tcb
    return { base, tsVal, windowBytes: this.#receiver.largestWindow, clientRttMs }
  }

  clientFlight(bytes: number): void {
    if (bytes > 0) this.#sender.sawFirstFlight(bytes)
  }

  /** Takes a segment of the target. @returns why it was dropped, or None */
  take(segment: Segment, queue: SendQueue, now: number): Drop {
    const { tcb } = this
    if (this.state === TargetState.Opening) return this.#takeOpening(segment, now)
    if (this.state !== TargetState.Open) return Drop.AnswerUnacceptable
    const { sndUna, rcvNxt } = tcb
    const drop = this.#input.take(segment, queue, now)
    if (tcb.sndUna !== sndUna) {
      this.progressAt = now
      this.acknowledgedEnd = tcb.offsetOf(tcb.sndUna)
    } else if (tcb.rcvNxt !== rcvNxt) this.progressAt = now
    if (this.#input.isReset) {
      this.#enter(TargetState.Ended)
      this.end = TargetEnd.Reset
    }
    return drop
  }

  #takeOpening(segment: Segment, now: number): Drop {
    const drop = this.#opening.take(segment, now)
    if (this.#opening.isRefused && this.end !== TargetEnd.Refused) {
      this.end = TargetEnd.Refused
      this.#context.reach.refused(this.#identity.mapIndex)
    }
    if (this.#opening.openedAt === NEVER) return drop
    this.#enter(TargetState.Open)
    this.#moved()
    this.end = TargetEnd.None
    this.progressAt = now
    this.#context.reach.accepted(this.#identity.mapIndex, this.#identity.clientAddress)
    return drop
  }

  prepare(now: number): boolean {
    if (!this.#opening.acknowledge(now)) return false
    this.#receiver.prepareAck(now)
    return true
  }

  resend(queue: SendQueue, now: number): boolean {
    const isDone = this.#output.resend(queue, now)
    // A segment that is sent again may be longer than before, and end with new bytes.
    this.sentEnd = this.tcb.offsetOf(this.tcb.sndMax)
    return isDone
  }

  send(queue: SendQueue, upTo: Seq, most: number, now: number): boolean {
    if (!this.#output.send(queue, upTo, most, now)) return false
    this.sentEnd = this.tcb.offsetOf(this.tcb.sndMax)
    return true
  }

  halfClose(ipId: number, now: number): void {
    this.#output.close(ipId, now)
    this.#moved()
  }

  hasten(now: number): void {
    if (this.#output.isFinSent && this.tcb.isAllAcknowledged && !this.#receiver.isClosed) this.#sender.awaitWindow(now)
  }

  acknowledge(now: number): void {
    if (this.#receiver.ackAt <= now) this.#output.acknowledge(Purpose.Acknowledgment)
  }

  finish(): void {
    if (this.#receiver.ackAt !== NEVER) this.#output.acknowledgeAll(Purpose.Acknowledgment)
    this.#enter(TargetState.Ended)
  }

  reset(_now: number): void {
    this.#writer.control(RST | ACK, this.tcb.sndNxt, Purpose.Copy)
    this.#enter(TargetState.Ended)
  }

  abandon(_now: number): void {
    if (this.state === TargetState.Waiting) return
    const flags = this.state === TargetState.Open ? RST | ACK : RST
    if (this.state !== TargetState.Ended) this.#writer.control(flags, this.tcb.sndMax, Purpose.EndsSession)
    this.#enter(TargetState.Ended)
  }

  plan(): void {
    const { ackAt } = this.#opening
    if (this.state === TargetState.Open) this.segmentMax = this.#sender.segmentMax
    this.deadline = Math.min(this.#sender.rtoAt, ackAt === NEVER ? this.#receiver.ackAt : ackAt)
  }

  onTimer(queue: SendQueue, now: number): void {
    if (now < this.#sender.rtoAt) return
    if (this.state === TargetState.Opening) this.#sendSyn(now)
    else if (this.state === TargetState.Open) this.#output.timedOut(queue, now)
  }

  save(snapshot: Snapshot): void {
    const { tcb } = this
    this.#enter(TargetState.Open)
    this.end = TargetEnd.None
    tcb.base = snapshot.seq(tcb.base)
    tcb.iss = snapshot.seq(tcb.iss)
    tcb.isSackPermitted = snapshot.flag(tcb.isSackPermitted)
    tcb.hasTimestamps = snapshot.flag(tcb.hasTimestamps)
    this.progressAt = snapshot.number(this.progressAt)
    this.#sender.save(snapshot)
    this.#receiver.save(snapshot)
    this.#writer.save(snapshot)
    this.#opening.save(snapshot)
    this.#input.save(snapshot)
    this.#moved()
  }
}
