/**
 * The control block of one copied connection (RFC 9293 §3.3.1) holds the numbers that its parts share. Every part reads
 * all fields. Each field has one writer, named in its comment; the owner, `RawTarget`, also restores fields when a
 * session wakes up.
 */
import { add, distance, type Seq, seq } from '../../wire/seq.ts'
import type { PacketStyle } from '../packets/frames.ts'

/** The client as captured. Traces name a connection by it. */
export interface CapturedClient {
  readonly capturedAddress: number
  readonly capturedPort: number
}

/** The addresses, ports and options with which a connection is opened. */
export interface ConnectionIdentity extends PacketStyle, CapturedClient {
  /** The client's own handshake is over or was not captured, so there is no acknowledgment of it to wait for. */
  readonly isJoined: boolean
  /** IP id of the captured SYN; 0 if there was none. */
  readonly ipId: number
}

/** The same numbers as `TargetState`, which is what the session sees. */
export const ConnectionState = { Closed: 0, SynSent: 1, Established: 2, Ended: 3 } as const
export type ConnectionState = (typeof ConnectionState)[keyof typeof ConnectionState]

export class ControlBlock implements PacketStyle {
  /** The slot of the connection's session. */
  readonly slot: number
  readonly identity: ConnectionIdentity
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
  readonly ttl: number
  readonly trafficClass: number
  readonly flowLabel: number
  readonly mss: number
  readonly windowScale: number
  /** Owner. */
  state: ConnectionState = ConnectionState.Closed
  /** Owner: sequence number of the byte at offset 0 of the send queue. */
  base: Seq
  /** Owner: the initial sequence number, one before the connection's first byte. */
  iss: Seq
  /** `Opening`: whether our SYN offers SACK; after the SYN-ACK, whether it is in force. */
  isSackPermitted: boolean
  /** `Opening`: the same for timestamps. */
  hasTimestamps: boolean
  /** `Sender`: the oldest unacknowledged byte. */
  sndUna: Seq
  /** `Sender`: the next byte to send. */
  sndNxt: Seq
  /** `Sender`: the largest `sndNxt` so far. Bytes sent below it are retransmissions. */
  sndMax: Seq
  /** `Sender`: the target's window, in bytes. */
  sndWnd = 0
  /** `Receiver`: the next byte expected. */
  rcvNxt: Seq = seq(0)
  /** `Receiver`: the acknowledgment number of a packet without payload. It is below `rcvNxt` while pacing delays it. */
  ackNxt: Seq = seq(0)
  /** `Receiver`: TS.Recent (RFC 7323 §4.3), echoed in every packet with ACK. */
  tsRecent: Seq = seq(0)
  /**
   * `SegmentWriter`: the largest timestamp value sent. The target discards segments with a smaller one (RFC 7323 §5).
   */
  tsVal: Seq

  /** @param base sequence number of offset 0 in the send queue; @param tsVal the client's latest timestamp value */
  constructor(slot: number, identity: ConnectionIdentity, base: Seq, tsVal: Seq) {
    this.slot = slot
    this.identity = identity
    this.clientAddress = identity.clientAddress
    this.clientPort = identity.clientPort
    this.targetAddress = identity.targetAddress
    this.targetPort = identity.targetPort
    this.ttl = identity.ttl
    this.trafficClass = identity.trafficClass
    this.flowLabel = identity.flowLabel
    this.mss = identity.mss
    this.windowScale = identity.windowScale
    this.isSackPermitted = identity.isSackPermitted
    this.hasTimestamps = identity.hasTimestamps
    this.base = base
    this.iss = add(base, -1)
    this.sndUna = this.iss
    this.sndNxt = this.iss
    this.sndMax = this.iss
    this.tsVal = tsVal
  }

  /** The sequence number of an offset in the send queue. */
  sequenceOf(offset: Seq): Seq {
    return add(this.base, offset)
  }

  /** The offset in the send queue of a sequence number. */
  offsetOf(sequence: Seq): Seq {
    return seq(distance(sequence, this.base))
  }

  /** The first sequence number of the connection's stream. */
  get first(): Seq {
    return add(this.iss, 1)
  }

  /** Bytes in flight. SYN and FIN count as one byte each. */
  get flightBytes(): number {
    return distance(this.sndNxt, this.sndUna)
  }

  get isAllAcknowledged(): boolean {
    return this.sndUna === this.sndMax
  }

  /** True until the connection sends payload or a FIN. */
  get isFresh(): boolean {
    return distance(this.sndMax, this.iss) <= 1
  }
}
