/**
 * Answers late segments for copied connections that have ended, because the target may have missed the end: our last
 * acknowledgment or reset was lost. The table has a fixed size and no timers; a connection is forgotten when another
 * one overwrites it.
 */
import { int32At } from '../../../wire/bytes.ts'
import { ACK, FIN, RST, type Segment, SYN } from '../../../wire/segment.ts'
import { seq } from '../../../wire/seq.ts'
import { NONE } from '../../memory/send-pool.ts'
import type { Frames, PacketStyle } from '../../packets/frames.ts'
import type { ControlBlock } from '../../tcp/control-block.ts'

const PLACES_BITS = 14
/** Words of an entry. */
const WORDS = 7
const CLIENT_ADDRESS = 0
const TARGET_ADDRESS = 1
const PORTS = 2
const IS_CLOSED = 3
const SND_NXT = 4
const RCV_NXT = 5
const TS_VAL = 6
const TTL = 64
const WINDOW = 0xffff

export class TimeWait {
  readonly #words = new Int32Array(WORDS << PLACES_BITS)
  readonly #style: { -readonly [field in keyof PacketStyle]: PacketStyle[field] } = {
    clientAddress: 0,
    clientPort: 0,
    targetAddress: 0,
    targetPort: 0,
    ttl: TTL,
    trafficClass: 0,
    flowLabel: 0,
    mss: 0,
    windowScale: -1,
    isSackPermitted: false,
    hasTimestamps: false
  }

  /** Remembers a connection that has ended. @param isClosed both sides have closed, and both FINs are acknowledged */
  add(tcb: ControlBlock, isClosed: boolean): void {
    const { clientAddress, targetAddress, sndMax } = tcb
    if (sndMax === tcb.iss) return // no SYN was sent
    const ports = (tcb.clientPort << 16) | tcb.targetPort
    const at = placeOf(clientAddress, targetAddress, ports)
    const words = this.#words
    words[at + CLIENT_ADDRESS] = clientAddress
    words[at + TARGET_ADDRESS] = targetAddress
    words[at + PORTS] = ports
    words[at + IS_CLOSED] = isClosed ? 1 : 0
    words[at + SND_NXT] = sndMax
    words[at + RCV_NXT] = tcb.rcvNxt
    words[at + TS_VAL] = tcb.tsVal
  }

  /** Passes every address in the table to `take`, and 0 for empty entries. */
  eachAddress(take: (address: number) => void): void {
    for (let at = 0; at < this.#words.length; at += WORDS) {
      take(int32At(this.#words, at + CLIENT_ADDRESS))
      take(int32At(this.#words, at + TARGET_ADDRESS))
    }
  }

  /**
   * Takes a segment of a target that has no session. A connection that had closed acknowledges it once more, as in
   * TIME-WAIT (RFC 9293 §3.10.7.4). For any other the answer is a reset, as for a connection that does not exist
   * (§3.10.7.1).
   * @returns false if the connection is unknown or the segment needs no answer
   */
  answer(segment: Segment, frames: Frames): boolean {
    const { flags, toAddress, fromAddress, toPort, fromPort } = segment
    const ports = (toPort << 16) | fromPort
    const at = placeOf(toAddress, fromAddress, ports)
    const word = (index: number): number => int32At(this.#words, at + index)
    if (word(CLIENT_ADDRESS) !== toAddress || word(TARGET_ADDRESS) !== fromAddress || word(PORTS) !== ports)
      return false
    if (flags & RST || (flags & ACK) === 0) return false
    const isClosed = word(IS_CLOSED) === 1
    const isMore = segment.payloadLength > 0 || (flags & (SYN | FIN)) !== 0
    if (isClosed && !isMore) return false
    const { packet } = frames
    packet.flags = isClosed ? ACK : RST
    packet.sequence = isClosed ? seq(word(SND_NXT)) : segment.ack
    packet.acknowledgment = seq(word(RCV_NXT))
    packet.window = WINDOW
    packet.tsVal = seq(word(TS_VAL))
    packet.tsEcr = segment.tsVal
    packet.sack = undefined
    packet.piece = NONE
    packet.offset = 0
    packet.length = 0
    packet.isCopy = false
    packet.ipId = 0
    const style = this.#style
    style.clientAddress = toAddress
    style.clientPort = toPort
    style.targetAddress = fromAddress
    style.targetPort = fromPort
    style.hasTimestamps = segment.hasTimestamps
    frames.write(style)
    return true
  }
}

function placeOf(clientAddress: number, targetAddress: number, ports: number): number {
  const mixed = Math.imul(
    clientAddress ^ Math.imul(ports, 0x9e3779b1) ^ Math.imul(targetAddress, 0x85ebca6b),
    0xc2b2ae35
  )
  return ((mixed ^ (mixed << 13)) >>> (32 - PLACES_BITS)) * WORDS
}
