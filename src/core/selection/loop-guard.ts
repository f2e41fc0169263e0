/**
 * Keeps copies from being copied again. A target that passes on what it receives, to the source or to a host in front of
 * it, would make an endless loop of each request.
 *
 * Three signs: a client with the address of a target; a SYN that a copy has just sent (`CopiedSyns`); an address whose
 * requests stop when its copies do (`RepeatedRequests`, `LoopSuspects`). The memory has a fixed size, and workers share
 * it, because what comes back may have another port.
 */
import { isIpv6 } from '../../wire/address-book.ts'
import { int32At } from '../../wire/bytes.ts'
import { type Segment, SYN } from '../../wire/segment.ts'
import { Drop } from '../books/drop.ts'
import { type CapturedSyn, type CopiedSyn, CopiedSyns } from './copied-syns.ts'
import { LoopSuspects, Verdict } from './loop-suspects.ts'
import type { AddressRange, CopyMap } from './mapping.ts'
import type { OwnAddresses } from './own-addresses.ts'
import { type Payload, RepeatedRequests, requestHash, SILENT } from './repeated-requests.ts'

/** What the operator has to know, said once. */
export const LoopSign = {
  /** A client has the address of a target. */
  TargetIsClient: 0,
  /** A SYN of a copy came back. */
  CopyCameBack: 1,
  /** Requests of an address stop when its copies do. Said for each address. */
  RequestsReturn: 2
} as const
export type LoopSign = (typeof LoopSign)[keyof typeof LoopSign]

/** A sign of a loop, and the client address that showed it. */
export interface LoopNotice {
  readonly sign: LoopSign
  readonly address: number
}

/** Memory of the guards of all workers. */
export interface LoopMemory {
  /** `LoopGuard.length` words, zero at first. */
  readonly words: Int32Array
  /** Added to this worker's clock, so that all workers have the same one, in ms. */
  readonly clockMs: number
}

export interface LoopGuardOptions {
  readonly maps: readonly CopyMap[]
  /** `-c` */
  readonly ranges: readonly AddressRange[]
  /** Most copies of a connection, at all targets together. */
  readonly copiesMax: number
  /** Undefined: unknown. */
  readonly own: OwnAddresses | undefined
  /** Default: memory of its own. */
  readonly memory?: LoopMemory | undefined
}

/** A captured payload and who sent it: a segment or a datagram. */
export interface CapturedRequest extends Payload {
  readonly fromAddress: number
}

/** A copy that can be held back. */
export interface HeldCopy {
  readonly identity: { readonly capturedAddress: number }
  deadline: number
  abort(reason: Drop, now: number): void
}

/** Time between two turns that are looked at. */
const LOOK_AGAIN_MS = 1
/** Words of what was said, by sign. */
const SAID_LENGTH = 3
// The requests come first, so that each of them is in one cache line.
const SYNS_AT = RepeatedRequests.length
const SUSPECTS_AT = SYNS_AT + CopiedSyns.length
const SAID_AT = SUSPECTS_AT + LoopSuspects.length

export class LoopGuard {
  /** Words of `LoopMemory`. */
  static readonly length = SAID_AT + SAID_LENGTH
  readonly #options: LoopGuardOptions
  readonly #clockMs: number
  readonly #said: Int32Array
  readonly #syns: CopiedSyns
  readonly #requests: RepeatedRequests
  readonly #suspects: LoopSuspects
  readonly #notices: LoopNotice[] = []
  /** The turn that was looked at last, and the current one. */
  #lookedAt = Number.NEGATIVE_INFINITY
  #turnAt = Number.NEGATIVE_INFINITY
  #looks = false

  constructor(options: LoopGuardOptions) {
    const { memory } = options
    const words = memory?.words ?? new Int32Array(LoopGuard.length)
    this.#options = options
    this.#clockMs = memory?.clockMs ?? 0
    this.#said = words.subarray(SAID_AT)
    this.#syns = new CopiedSyns(words.subarray(SYNS_AT, SUSPECTS_AT))
    this.#requests = new RepeatedRequests(words.subarray(0, SYNS_AT), options.copiesMax)
    const onBlocked = (address: number): unknown => this.#notices.push({ sign: LoopSign.RequestsReturn, address })
    this.#suspects = new LoopSuspects(words.subarray(SUSPECTS_AT, SAID_AT), onBlocked)
  }

  /** Whether any copies may be held back. */
  get isActive(): boolean {
    return this.#suspects.isActive
  }

  /** Decides about the first packet of a flow. @returns why it is not copied; undefined: it may be */
  refusal(segment: Segment, now: number): Drop | undefined {
    const { fromAddress } = segment
    const isSyn = (segment.flags & SYN) !== 0
    if (this.refusesClient(fromAddress)) return Drop.FromTarget
    const at = this.#at(now)
    if (isSyn && this.#syns.has(synOf(segment), at)) {
      return this.#refuse(LoopSign.CopyCameBack, fromAddress, Drop.Loop)
    }
    if (isSyn) {
      if (this.isActive) this.#suspects.heard(fromAddress, SILENT, at)
      if (this.#requests.sawSyn(fromAddress, at)) this.#suspects.suspect(fromAddress, SILENT, at)
    }
    return this.isActive && this.#suspects.verdict(fromAddress, at) === Verdict.Blocked ? Drop.Loop : undefined
  }

  /** Whether a client's packets are not copied because it is a target. */
  refusesClient(address: number): boolean {
    if (!this.#isTarget(address)) return false
    this.#refuse(LoopSign.TargetIsClient, address, Drop.FromTarget)
    return true
  }

  /** Takes note of a captured request. A busy worker looks at a sample of its turns, all requests of a turn or none. */
  sawRequest(request: CapturedRequest, now: number): void {
    const { fromAddress } = request
    this.#requests.speaks(fromAddress)
    if (now !== this.#turnAt) {
      this.#turnAt = now
      this.#looks = now - this.#lookedAt >= LOOK_AGAIN_MS
      if (this.#looks) this.#lookedAt = now
    }
    if (!this.#looks && !this.isActive) return
    const at = this.#at(now)
    const hash = requestHash(request)
    if (this.isActive) this.#suspects.heard(fromAddress, hash, at)
    if (this.#requests.saw(fromAddress, hash, at, (now * 1000) | 0)) this.#suspects.suspect(fromAddress, hash, at)
  }

  /** Whether a datagram of this client is not copied. */
  refusesDatagram(address: number, now: number): boolean {
    return this.isActive && this.#suspects.verdict(address, this.#at(now)) !== Verdict.Free
  }

  /** Takes note of the SYN of a copy. */
  sentSyn(syn: CopiedSyn, now: number): void {
    this.#syns.add(syn, this.#at(now))
  }

  /**
   * To be called before a copy goes on. One that is held back gets another deadline, one whose client is blocked ends.
   * @returns true if it must not go on
   */
  holdsBack(copy: HeldCopy, now: number): boolean {
    if (!this.isActive) return false
    const { capturedAddress } = copy.identity
    const at = this.#at(now)
    const verdict = this.#suspects.verdict(capturedAddress, at)
    if (verdict === Verdict.Held) copy.deadline = now + this.#suspects.msLeft(capturedAddress, at)
    else if (verdict === Verdict.Blocked) copy.abort(Drop.Loop, now)
    return verdict !== Verdict.Free
  }

  /** @returns the next notice; undefined if there is none */
  takeNotice(): LoopNotice | undefined {
    return this.#notices.shift()
  }

  eachAddress(take: (address: number) => void): void {
    this.#suspects.eachAddress(take)
    for (const { address } of this.#notices) take(address)
  }

  /**
   * Whether a client is a target whose connections are not copied. They are with `-c`, which gives it another address,
   * and if the target is this host, whose own clients have its address.
   */
  #isTarget(address: number): boolean {
    const { maps, ranges, own } = this.#options
    for (const map of maps) {
      if (map.targetAddress !== address) continue
      return !ranges.some(({ first }) => isIpv6(first) === isIpv6(address)) && own?.has(address) !== true
    }
    return false
  }

  #refuse(sign: LoopSign, address: number, reason: Drop): Drop {
    if (int32At(this.#said, sign) === 0) {
      this.#said[sign] = 1
      this.#notices.push({ sign, address })
    }
    return reason
  }

  #at(now: number): number {
    return (now + this.#clockMs) | 0
  }
}

function synOf({ seq, hasTimestamps, tsVal, fromAddress, fromPort }: Segment): CapturedSyn {
  return { iss: seq, hasTimestamps, tsVal, fromAddress, fromPort }
}
