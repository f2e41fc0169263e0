/** One connection of tcpcopy to an intercept: negotiates the version, announces routes and parses records. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import type { Route } from '../../core/target/raw/route-events.ts'
import type { Cryptography, Stream } from '../../ports.ts'
import { isIpv6 } from '../../wire/address-book.ts'
import { copyBytes, u16 } from '../../wire/bytes.ts'
import {
  AnswerRecord,
  ageMs,
  fillAnswer,
  fillFromRecord,
  parseAnswerRecord,
  parseHeaderRecord
} from '../../wire/channel/answer-records.ts'
import {
  MESSAGE_LENGTH,
  MessageType,
  messageLength,
  parseRecord,
  putBareMessage,
  putHello,
  putMessage
} from '../../wire/channel/channel-v1.ts'
import {
  ACCEPTANCE_LENGTH,
  ACCEPTANCE_MARK,
  acceptanceFlags,
  acceptedVersion,
  flowRecordLength,
  INTRODUCTION_LENGTH,
  INTRODUCTION_WITH_PROOF,
  isFlowRecordWhole,
  KNOWS_FINDINGS,
  NONCE_LENGTH,
  PROOF_LENGTH,
  putFlowRecord,
  putIntroduction,
  putOffer,
  RECORD_HEAD,
  RecordType,
  Refusal,
  readFlow,
  recordLength,
  recordShape,
  recordType,
  VERSION_2,
  WANTS_PROOF
} from '../../wire/channel/channel-v2.ts'
import { areFindingsWhole, parseFindings, putQuestion } from '../../wire/channel/finding-records.ts'
import { Flaw } from '../../wire/flaw.ts'
import { Flow } from '../../wire/flow.ts'
import { Segment } from '../../wire/segment.ts'
import { Backlog, consume } from './backlog.ts'
import type { InterceptViews } from './intercept-views.ts'
import { type ChannelOptions, Negotiation } from './negotiation.ts'

const BACKLOG_MAX = 4 << 20
/** Records of unknown types; more of them close the connection. */
const UNKNOWN_MAX = 100
const TRIP_ASK_MS = 1000
/** All routes are announced. */
export const ALL_ANNOUNCED = Number.POSITIVE_INFINITY

export const SPEAKS_OTHER = 'it does not speak the protocol of intercept'
const IS_VERSION_1 = 'it speaks version 1 of the channel, which does not support --secret-file'

export const Phase = {
  /** Not connected, or connecting. */
  Closed: 0,
  /** The hello is sent, with or without an offer of version 2. intercept has sent nothing yet. */
  Silent: 1,
  Version1: 2,
  /** Version 2 starts when intercept has proved the secret. */
  Proving: 3,
  Version2: 4
} as const
export type Phase = (typeof Phase)[keyof typeof Phase]

/** An address and a port of a target. */
export interface Place {
  readonly address: number
  readonly port: number
}

/** Takes what intercept reports. */
export interface ChannelEvents {
  /** An answer of the target. The segment is valid during the call. */
  answered(segment: Segment): void
  /** Another tcpcopy has this client address and port at the target. */
  taken(flow: Flow): void
}

/** What all connections share. */
export interface ChannelContext {
  readonly options: ChannelOptions
  readonly cryptography: Cryptography
  /** The same on all connections of this tcpcopy. */
  readonly instance: Uint8Array
  readonly counters: Counters
  /** A `-x` has an IPv6 target. */
  readonly hasIpv6?: boolean
}

export class ClientConnection {
  stream: Stream | undefined
  phase: Phase = Phase.Closed
  openedAt = 0
  /** When to connect again, or to give up connecting. */
  nextAt = 0
  retryMs: number
  /** Routes of sessions from this id on are not announced yet. */
  announceFrom = ALL_ANNOUNCED
  /** An intercept of version 2 would have replied by now. */
  isSilentForLong = false
  /** Routes to IPv6 targets wait for version 2. */
  isHoldingBack = false
  readonly backlog = new Backlog(BACKLOG_MAX)
  /** intercept answers questions. */
  #knowsFindings = false
  readonly #context: ChannelContext
  readonly #views: InterceptViews
  #negotiation: Negotiation | undefined
  #unknownCount = 0
  /** Delay from intercept to here: half the minimum round trip, which is read once a second. */
  #tripMs = 0
  #tripAskedAt = 0
  readonly #segment = new Segment()
  readonly #answers = new AnswerRecord()
  /**
   * The route at hand, and the flow at hand that intercept says is taken: one may be written while the other is read.
   */
  readonly #routeFlow = new Flow()
  readonly #takenFlow = new Flow()

  /** @param views take what intercept has seen */
  constructor(context: ChannelContext, views: InterceptViews, retryMs: number) {
    this.#context = context
    this.#views = views
    this.retryMs = retryMs
  }

  get isOpen(): boolean {
    return this.phase !== Phase.Closed
  }

  /** Whether routes may be announced on it. */
  get isReady(): boolean {
    if (this.phase === Phase.Silent) return this.#context.options.secret === undefined
    return this.phase === Phase.Version1 || this.phase === Phase.Version2
  }

  /** The stream is connected: says hello. */
  open(now: number): void {
    this.phase = Phase.Silent
    this.openedAt = now
    this.#tripAskedAt = Number.NEGATIVE_INFINITY
    const { options, cryptography } = this.#context
    const at = this.backlog.reserve(MESSAGE_LENGTH)
    putHello(this.backlog.bytes, at)
    this.#unknownCount = 0
    this.#negotiation = undefined
    if (options.version < VERSION_2) return
    putOffer(this.backlog.bytes, at, options.version, (options.secret === undefined ? 0 : WANTS_PROOF) | KNOWS_FINDINGS)
    this.#negotiation = new Negotiation(cryptography)
    this.#negotiation.hello(this.backlog.bytes, at)
  }

  close(): void {
    this.stream?.close()
    this.stream = undefined
    this.phase = Phase.Closed
    this.backlog.clear()
    this.announceFrom = ALL_ANNOUNCED
    this.isHoldingBack = false
    this.isSilentForLong = false
  }

  /** @returns false if the route does not fit into the backlog */
  announce(route: Route): boolean {
    return this.#putRoute(route, RecordType.Route)
  }

  /** Withdraws a route that is no longer needed. Version 1 does not withdraw routes: intercept forgets them. */
  withdraw(route: Route): void {
    if (this.phase === Phase.Version2) this.#putRoute(route, RecordType.Withdrawal)
  }

  /** Asks what intercept has seen of a target. @returns false if it cannot be asked */
  ask(target: Place): boolean {
    if (this.phase !== Phase.Version2 || !this.#knowsFindings) return false
    const at = this.backlog.reserve(flowRecordLength(target.address))
    if (at < 0) return false
    putQuestion(this.backlog.bytes, at, this.#routeFlow.set(0, 0, target.address, target.port))
    return true
  }

  #putRoute(route: Route, type: number): boolean {
    const { backlog } = this
    const { targetAddress } = route
    const isVersion2 = this.phase === Phase.Version2
    if (!isVersion2 && isIpv6(targetAddress)) return this.#holdBack()
    const at = backlog.reserve(isVersion2 ? flowRecordLength(targetAddress) : MESSAGE_LENGTH)
    if (at < 0) return false
    const flow = this.#routeFlow.toTarget(route)
    if (isVersion2) putFlowRecord(backlog.bytes, at, type, flow)
    else putMessage(backlog.bytes, at, MessageType.AddRoute, flow)
    return true
  }

  /** Version 1 cannot express IPv6 addresses. Until intercept has replied, version 2 is still possible. */
  #holdBack(): boolean {
    if (this.phase === Phase.Silent && this.#negotiation !== undefined) this.isHoldingBack = true
    if (this.phase === Phase.Version1 || this.isSilentForLong) this.#context.counters.add(Counter.routesUntold, 1)
    return true
  }

  /** Parses the stream's input. @returns why the connection must be closed; empty: it need not */
  take(events: ChannelEvents, now: number): string {
    const { stream } = this
    if (stream === undefined) return ''
    if (now - this.#tripAskedAt >= TRIP_ASK_MS) {
      this.#tripAskedAt = now
      this.#tripMs = (stream.leastRoundTripMs?.() ?? 0) / 2
    }
    const { input } = stream
    let at = 0
    let fault = ''
    while (fault === '') {
      const length = this.#lengthAt(input, at, stream.inputLength - at)
      if (length < 0) return SPEAKS_OTHER
      if (length === 0 || stream.inputLength - at < length) break
      if (this.phase >= Phase.Proving) fault = this.#onRecord(input, at, events, now)
      else if (u16(input, at) === ACCEPTANCE_MARK) fault = this.#onAcceptance(input, at)
      else fault = this.#onMessage(input, at, events)
      at += length
    }
    if (at > 0) {
      this.#context.counters.add(Counter.channelBytes, at)
      consume(stream, at)
    }
    return fault
  }

  /** @returns length of the message or record at `at`; 0: not known yet; −1: invalid */
  #lengthAt(input: Uint8Array, at: number, present: number): number {
    if (present < 2) return 0
    if (this.phase >= Phase.Proving) return recordLength(input, at) < RECORD_HEAD ? -1 : recordLength(input, at)
    const mayAccept = this.phase === Phase.Silent && this.#negotiation !== undefined
    if (mayAccept && u16(input, at) === ACCEPTANCE_MARK) return ACCEPTANCE_LENGTH
    return messageLength(this.#context.options.framing, input, at, present)
  }

  /** A message of version 1. */
  #onMessage(input: Uint8Array, at: number, events: ChannelEvents): string {
    const { options, counters } = this.#context
    if (options.secret !== undefined) return IS_VERSION_1
    const { countLength, recordLength } = options.framing
    this.phase = Phase.Version1
    this.#segment.arrivedAt = Number.NaN
    const count = countLength === 0 ? 1 : u16(input, at)
    counters.add(Counter.answers, count)
    for (let index = 0; index < count; index++) {
      const flaw = parseRecord(input, at + countLength + index * recordLength, this.#segment)
      if (flaw === Flaw.None) events.answered(this.#segment)
      else counters.drop(flaw, 1, 0)
    }
    return ''
  }

  #onAcceptance(input: Uint8Array, at: number): string {
    const { options, cryptography, instance } = this.#context
    const { backlog } = this
    const negotiation = this.#negotiation
    const isWanted = (acceptanceFlags(input, at) & WANTS_PROOF) !== 0
    if (negotiation === undefined || acceptedVersion(input, at) !== VERSION_2) return SPEAKS_OTHER
    if (isWanted && options.secret === undefined) return 'it requires a secret: give tcpcopy the same --secret-file'
    if (!isWanted && options.secret !== undefined) return 'it has no secret: give intercept the same --secret-file'
    negotiation.acceptance(input, at)
    this.#knowsFindings = (acceptanceFlags(input, at) & KNOWS_FINDINGS) !== 0
    const switchAt = backlog.reserve(MESSAGE_LENGTH)
    const introductionAt = backlog.reserve(options.secret === undefined ? INTRODUCTION_LENGTH : INTRODUCTION_WITH_PROOF)
    if (switchAt < 0 || introductionAt < 0) return 'it does not read its input'
    putBareMessage(backlog.bytes, switchAt, MessageType.Switch)
    if (options.secret === undefined) {
      putIntroduction(backlog.bytes, introductionAt, instance)
      this.phase = Phase.Version2
      return ''
    }
    putIntroduction(backlog.bytes, introductionAt, instance, cryptography.random(NONCE_LENGTH))
    const proofAt = introductionAt + INTRODUCTION_WITH_PROOF - PROOF_LENGTH
    negotiation.introduction(backlog.bytes, introductionAt, INTRODUCTION_WITH_PROOF - PROOF_LENGTH)
    copyBytes(negotiation.proofOfTcpcopy(options.secret), 0, backlog.bytes, proofAt, PROOF_LENGTH)
    negotiation.introduction(backlog.bytes, introductionAt, INTRODUCTION_WITH_PROOF)
    this.phase = Phase.Proving
    return ''
  }

  #onRecord(input: Uint8Array, at: number, events: ChannelEvents, now: number): string {
    const type = recordType(input, at)
    if (this.phase === Phase.Proving) return this.#onProof(input, at)
    if (type === RecordType.Answers) return this.#onAnswers(input, at, events, now)
    if (type === RecordType.Header) return this.#onHeader(input, at, events)
    if (type === RecordType.Taken) return this.#onTaken(input, at, events)
    if (type === RecordType.Findings) return this.#onFindings(input, at, now)
    this.#unknownCount += 1
    return this.#unknownCount > UNKNOWN_MAX ? 'it sends too many unknown messages' : ''
  }

  #onAnswers(input: Uint8Array, at: number, events: ChannelEvents, now: number): string {
    const answers = this.#answers
    const segment = this.#segment
    if (!parseAnswerRecord(input, at, answers)) return SPEAKS_OTHER
    const { counters } = this.#context
    counters.add(Counter.answers, 1)
    fillFromRecord(answers, segment)
    segment.arrivedAt = now - this.#tripMs - ageMs(answers.age)
    for (let index = 0; index < answers.segmentCount; index++) {
      fillAnswer(answers, index, segment)
      events.answered(segment)
    }
    return ''
  }

  #onHeader(input: Uint8Array, at: number, events: ChannelEvents): string {
    const { counters } = this.#context
    const flaw = parseHeaderRecord(input, at, this.#segment)
    if (flaw === Flaw.BadHeader) return SPEAKS_OTHER
    counters.add(Counter.answers, 1)
    if (flaw === Flaw.None) events.answered(this.#segment)
    else counters.drop(flaw, 1, 0)
    return ''
  }

  #onTaken(input: Uint8Array, at: number, events: ChannelEvents): string {
    if (!isFlowRecordWhole(input, at)) return SPEAKS_OTHER
    readFlow(input, at, this.#takenFlow)
    events.taken(this.#takenFlow)
    return ''
  }

  #onFindings(input: Uint8Array, at: number, now: number): string {
    if (!areFindingsWhole(input, at)) return SPEAKS_OTHER
    const flow = this.#takenFlow
    readFlow(input, at, flow)
    this.#views.take({ address: flow.serverAddress, port: flow.serverPort }, parseFindings(input, at), now)
    return ''
  }

  /** Ignores everything else until intercept has proved that it knows the secret. */
  #onProof(input: Uint8Array, at: number): string {
    const { secret } = this.#context.options
    if (recordType(input, at) === RecordType.Refusal) {
      return recordShape(input, at) === Refusal.WrongProof
        ? 'it has a different secret: give both programs the same --secret-file'
        : SPEAKS_OTHER
    }
    const isProof = recordType(input, at) === RecordType.Proof && recordLength(input, at) === RECORD_HEAD + PROOF_LENGTH
    if (!isProof || secret === undefined || this.#negotiation === undefined) return SPEAKS_OTHER
    if (!this.#negotiation.isProof(this.#negotiation.proofOfIntercept(secret), input, at + RECORD_HEAD)) {
      return 'it failed to prove the secret: is it intercept?'
    }
    this.phase = Phase.Version2
    return ''
  }

  /** Why the connection is closed if intercept does not reply. */
  get silenceReason(): string {
    return this.phase === Phase.Proving ? 'it did not prove the secret' : IS_VERSION_1
  }
}
