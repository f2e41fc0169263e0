/**
 * The control block of one copied connection (RFC 9293 §3.3.1): what its parts have to know of each other. Each part reads
 * all of it and writes only its own fields, which are named here by their writer.
 */
import { add, distance, type Seq, seq } from '../../wire/seq.ts'
import type { PacketStyle } from '../packets/frames.ts'

/** The client as captured, by which a trace names a connection. */
export interface CapturedClient {
  readonly capturedAddress: number
  readonly capturedPort: number
}

/** As whom a connection is opened. */
export interface ConnectionIdentity extends PacketStyle, CapturedClient {
  /** The client's own handshake is over, or was not captured: nobody's acknowledgment is awaited. */
  readonly isJoined: boolean
  /** IP id of the captured SYN; 0 if there was none. */
  readonly ipId: number
}

/** The numbers are those of `TargetState`, which is what others see of it. */
export const ConnectionState = { Closed: 0, SynSent: 1, Established: 2, Ended: 3 } as const
export type ConnectionState = (typeof ConnectionState)[keyof typeof ConnectionState]

export class ControlBlock implements PacketStyle {
  /** Whose connection it is: the number of a session's slot. */
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
  /** The owner: where it is in its life. */
  state: ConnectionState = ConnectionState.Closed
  /** The owner: sequence number of the byte at offset 0 of the send queue. */
  base: Seq
  /** The owner: the initial sequence number, before the connection's first byte. */
  iss: Seq
  /** `Opening`: in the SYN offered, after the SYN-ACK in force. */
  isSackPermitted: boolean
  /** `Opening`: as `isSackPermitted`. */
  hasTimestamps: boolean
  /** `Sender`: the oldest byte that is not acknowledged. */
  sndUna: Seq
  /** `Sender`: the next byte to send. */
  sndNxt: Seq
  /** `Sender`: the largest `sndNxt` so far; what is sent below it is a retransmission. */
  sndMax: Seq
  /** `Sender`: the target's window, in bytes. */
  sndWnd = 0
  /** `Receiver`: the next byte expected. */
  rcvNxt: Seq = seq(0)
  /** `Receiver`: what a packet without payload acknowledges: `rcvNxt`, or less where acknowledgments are paced. */
  ackNxt: Seq = seq(0)
  /** `Receiver`: TS.Recent of RFC 7323 §4.3, echoed in every packet. */
  tsRecent: Seq = seq(0)
  /** `SegmentWriter`: the largest timestamp value sent; the target ignores a smaller one (RFC 7323 §5). */
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

  /** The offset in the send queue that a sequence number stands for. */
  offsetOf(sequence: Seq): Seq {
    return seq(distance(sequence, this.base))
  }

  /** The first sequence number of the connection's stream. */
  get first(): Seq {
    return add(this.iss, 1)
  }

  /** Bytes sent and not acknowledged, SYN and FIN counted. */
  get flightBytes(): number {
    return distance(this.sndNxt, this.sndUna)
  }

  get isAllAcknowledged(): boolean {
    return this.sndUna === this.sndMax
  }

  /** True until payload or FIN was sent. */
  get isFresh(): boolean {
    return distance(this.sndMax, this.iss) <= 1
  }
}
