/** One connection of a tcpcopy at intercept's end: parses its input in either version, and keeps the backlog to it. */
import type { Cryptography, Stream } from '../../ports.ts'
import { copyBytes, put16 } from '../../wire/bytes.ts'
import {
  type Framing,
  MESSAGE_LENGTH,
  MessageType,
  messageType,
  readMessageFlow
} from '../../wire/channel/channel-v1.ts'
import {
  ACCEPTANCE_LENGTH,
  flowRecordLength,
  hasProof,
  INSTANCE_LENGTH,
  INTRODUCTION_LENGTH,
  INTRODUCTION_WITH_PROOF,
  internFlow,
  isFlowRecordWhole,
  isIntroductionWhole,
  KNOWS_FINDINGS,
  NONCE_LENGTH,
  offeredVersion,
  offerFlags,
  PROOF_LENGTH,
  putAcceptance,
  putFlowRecord,
  putRecordHead,
  RECORD_HEAD,
  RecordType,
  Refusal,
  readFlow,
  recordLength,
  recordType,
  VERSION_2,
  WANTS_PROOF
} from '../../wire/channel/channel-v2.ts'
import { type Findings, findingsLength, putFindings } from '../../wire/channel/finding-records.ts'
import { Flow } from '../../wire/flow.ts'
import { Backlog, consume } from './backlog.ts'
import { type ChannelOptions, Negotiation } from './negotiation.ts'
import type { Party } from './peer-workers.ts'

const BACKLOG_MAX = 4 << 20
/** Messages and records of unknown types; more of them close the connection. */
const UNKNOWN_MAX = 100

const Phase = {
  /** The hello has not arrived. */
  New: 0,
  /** Version 1 until the connection closes. */
  Version1: 1,
  /** Version 2 is accepted; messages of version 1 until the switch. */
  Accepted: 2,
  /** The introduction must come next. */
  Switched: 3,
  Introduced: 4
} as const
type Phase = (typeof Phase)[keyof typeof Phase]

/** Carries out what a peer requests. */
export interface PeerRequests {
  /** A peer has identified itself. @returns why it is refused, if it is */
  introduced(peer: ServerPeer): Fault | undefined
  /** @param flow valid during the call */
  addRoute(peer: ServerPeer, flow: Flow): void
  removeRoute(peer: ServerPeer, flow: Flow): void
  /** It asks what intercept has seen of the server of this flow. */
  question(peer: ServerPeer, flow: Flow): void
  /** Counts a route that cannot be added because the address book is full. */
  refuseRoute(): void
}

/** Why a connection is closed. @property isUnproven it did not prove the secret */
export interface Fault {
  readonly reason: string
  readonly isUnproven: boolean
}

const fault = (reason: string, isUnproven = false): Fault => ({ reason, isUnproven })

export class ServerPeer implements Party {
  readonly id: number
  readonly stream: Stream
  readonly acceptedAt: number
  readonly backlog = new Backlog(BACKLOG_MAX)
  /** Version of its records, 1 or 2; 0: it gets none. */
  version = 0
  /** The same for all connections of one tcpcopy; empty: unknown. */
  instance = ''
  readonly #options: ChannelOptions
  readonly #cryptography: Cryptography
  readonly #negotiation: Negotiation
  #phase: Phase = Phase.New
  #unknownCount = 0
  /** Offset in the backlog of the unfinished message of version 1, which begins with its count; −1: none. */
  #messageAt = -1
  #recordCount = 0
  readonly #flow = new Flow()

  constructor(id: number, stream: Stream, acceptedAt: number, options: ChannelOptions, cryptography: Cryptography) {
    this.id = id
    this.stream = stream
    this.acceptedAt = acceptedAt
    this.#options = options
    this.#cryptography = cryptography
    this.#negotiation = new Negotiation(cryptography)
  }

  /** Whether the peer has proved to be a tcpcopy, and may announce routes. */
  get isIntroduced(): boolean {
    return this.#phase === Phase.Introduced || this.#phase === Phase.Version1
  }

  /** Parses the stream's input. @returns why the connection must be closed, if it must */
  take(requests: PeerRequests): Fault | undefined {
    const { stream } = this
    let at = 0
    let found: Fault | undefined
    while (found === undefined) {
      const length = this.#lengthAt(at)
      if (length < 0) return fault('a record is too short')
      if (length === 0 || stream.inputLength - at < length) break
      found = this.#phase >= Phase.Switched ? this.#onRecord(at, requests) : this.#onMessage(at, requests)
      at += length
    }
    if (at > 0) consume(stream, at)
    return found
  }

  /** @returns length of the message or record at `at`; 0: not known yet; −1: invalid */
  #lengthAt(at: number): number {
    if (this.#phase < Phase.Switched) return MESSAGE_LENGTH
    if (this.stream.inputLength - at < RECORD_HEAD) return 0
    const length = recordLength(this.stream.input, at)
    return length < RECORD_HEAD ? -1 : length
  }

  #onMessage(at: number, requests: PeerRequests): Fault | undefined {
    const { input } = this.stream
    const type = messageType(input, at)
    const flow = this.#flow
    readMessageFlow(input, at, flow)
    if (this.#phase === Phase.New) {
      if (flow.clientAddress !== 0 || flow.clientPort !== 0 || type !== MessageType.Version) {
        return fault('its first message is not from tcpcopy')
      }
      return this.#onHello(at, requests)
    }
    if (type === MessageType.Switch && this.#phase === Phase.Accepted) {
      this.#phase = Phase.Switched
      return undefined
    }
    if (type !== MessageType.AddRoute && type !== MessageType.RemoveRoute) return this.#unknown()
    if (this.#options.secret !== undefined) return fault('it announced a client before it proved the secret', true)
    if (type === MessageType.AddRoute) requests.addRoute(this, flow)
    else requests.removeRoute(this, flow)
    return undefined
  }

  #onHello(at: number, requests: PeerRequests): Fault | undefined {
    const { input } = this.stream
    const { secret, version } = this.#options
    if (Math.min(version, offeredVersion(input, at)) < VERSION_2) {
      if (secret !== undefined) return fault('it speaks version 1 of the channel, which does not support secrets', true)
      this.#phase = Phase.Version1
      this.version = 1
      return requests.introduced(this)
    }
    this.#phase = Phase.Accepted
    const { backlog } = this
    const acceptanceAt = backlog.reserve(ACCEPTANCE_LENGTH)
    const flags = (secret === undefined ? 0 : WANTS_PROOF) | (offerFlags(input, at) & KNOWS_FINDINGS)
    putAcceptance(backlog.bytes, acceptanceAt, VERSION_2, flags, this.#cryptography.random(NONCE_LENGTH))
    this.#negotiation.hello(input, at)
    this.#negotiation.acceptance(backlog.bytes, acceptanceAt)
    if (!backlog.flush(this.stream)) return fault(this.stream.failure || 'it closed the connection')
    if (secret === undefined && offerFlags(input, at) & WANTS_PROOF) {
      return fault('it has a secret and intercept has none: give intercept the same --secret-file', true)
    }
    if (secret === undefined) this.version = VERSION_2
    return undefined
  }

  #onRecord(at: number, requests: PeerRequests): Fault | undefined {
    const { input } = this.stream
    const type = recordType(input, at)
    if (this.#phase === Phase.Switched) {
      if (type !== RecordType.Introduction) return fault('its first record is not an introduction')
      return this.#onIntroduction(at, requests)
    }
    const isKnown = type === RecordType.Route || type === RecordType.Withdrawal || type === RecordType.Question
    if (!isKnown) return this.#unknown()
    if (!isFlowRecordWhole(input, at)) return fault('a record has an invalid length')
    if (type === RecordType.Route && !internFlow(input, at)) {
      requests.refuseRoute()
      return undefined
    }
    const flow = this.#flow
    readFlow(input, at, flow)
    if (type === RecordType.Route) requests.addRoute(this, flow)
    else if (type === RecordType.Withdrawal) requests.removeRoute(this, flow)
    else requests.question(this, flow)
    return undefined
  }

  #onIntroduction(at: number, requests: PeerRequests): Fault | undefined {
    const { input } = this.stream
    if (!isIntroductionWhole(input, at)) return fault('a record has an invalid length')
    const { secret } = this.#options
    if (secret !== undefined) {
      if (!hasProof(input, at))
        return this.#refuse(Refusal.NoProof, 'it has no secret: give tcpcopy the same --secret-file')
      const proofAt = at + INTRODUCTION_WITH_PROOF - PROOF_LENGTH
      this.#negotiation.introduction(input, at, INTRODUCTION_WITH_PROOF)
      if (!this.#negotiation.isProof(this.#negotiation.proofOfTcpcopy(secret), input, proofAt)) {
        return this.#refuse(Refusal.WrongProof, 'it has a different secret: give both programs the same --secret-file')
      }
      const ownAt = this.backlog.reserve(RECORD_HEAD + PROOF_LENGTH)
      putRecordHead(this.backlog.bytes, ownAt, RecordType.Proof, RECORD_HEAD + PROOF_LENGTH, 0)
      copyBytes(this.#negotiation.proofOfIntercept(secret), 0, this.backlog.bytes, ownAt + RECORD_HEAD, PROOF_LENGTH)
      if (!this.backlog.flush(this.stream)) return fault(this.stream.failure || 'it closed the connection')
    }
    const instanceAt = at + INTRODUCTION_LENGTH - INSTANCE_LENGTH
    this.instance = String.fromCharCode(...input.subarray(instanceAt, instanceAt + INSTANCE_LENGTH))
    this.version = VERSION_2
    this.#phase = Phase.Introduced
    return requests.introduced(this)
  }

  #refuse(refusal: number, reason: string): Fault {
    const at = this.backlog.reserve(RECORD_HEAD)
    putRecordHead(this.backlog.bytes, at, RecordType.Refusal, RECORD_HEAD, refusal)
    this.backlog.flush(this.stream)
    return fault(reason, true)
  }

  #unknown(): Fault | undefined {
    this.#unknownCount += 1
    return this.#unknownCount > UNKNOWN_MAX ? fault('it sends too many unknown messages') : undefined
  }

  /** Adds a record of version 1. @returns bytes added to the backlog; 0: it does not fit */
  putRecord1(record: Uint8Array, { countLength, recordsMax, recordLength }: Framing): number {
    const isNew = this.#messageAt < 0
    const length = recordLength + (isNew ? countLength : 0)
    const reserved = this.backlog.reserve(length)
    if (reserved < 0) return 0
    copyBytes(record, 0, this.backlog.bytes, reserved + length - recordLength, recordLength)
    if (isNew) {
      this.#messageAt = reserved
      this.#recordCount = 0
    }
    this.#recordCount += 1
    if (countLength > 0) put16(this.backlog.bytes, this.#messageAt, this.#recordCount)
    if (this.#recordCount === recordsMax) this.#messageAt = -1
    return length
  }

  /** Adds a record of version 2. @returns bytes added to the backlog; 0: it does not fit */
  putRecord2(record: Uint8Array, length: number): number {
    const at = this.backlog.reserve(length)
    if (at < 0) return 0
    copyBytes(record, 0, this.backlog.bytes, at, length)
    return length
  }

  /** Says that another tcpcopy has a route. @returns bytes added; 0: it does not fit, or version 1 cannot say it */
  putTaken(flow: Flow): number {
    if (this.#phase !== Phase.Introduced) return 0
    const length = flowRecordLength(flow.serverAddress)
    const at = this.backlog.reserve(length)
    if (at < 0) return 0
    putFlowRecord(this.backlog.bytes, at, RecordType.Taken, flow)
    return length
  }

  /** Answers a question. @returns bytes added; 0: it does not fit */
  putFindings(flow: Flow, findings: Findings): number {
    const length = findingsLength(flow.serverAddress)
    const at = this.backlog.reserve(length)
    if (at < 0) return 0
    putFindings(this.backlog.bytes, at, flow, findings)
    return length
  }

  /** Writes as much as the stream accepts. @returns false if the stream has ended */
  flush(): boolean {
    this.#messageAt = -1
    return this.backlog.flush(this.stream)
  }
}
