/** Sends short packets through AF_XDP, others through the link layer. */
import type { Outbox } from '../../../core/packets/outbox.ts'
import type { PacketSender, TargetPath } from '../../../ports.ts'
import { copyBytes, int32At } from '../../../wire/bytes.ts'
import { ETHERNET_HEADER } from '../../../wire/link-layer.ts'
import { deviceName } from '../netlink/devices.ts'
import { errnoMessage } from '../system/libc.ts'
import { copyOctets } from '../system/native-copy.ts'
import type { LinkSender } from './link-sender.ts'
import { CHUNK_LENGTH, XdpRefusal, XdpSocket } from './xdp-socket.ts'

/** Payload of at least this length is copied by memcpy. */
const MEMCPY_FROM = 128

/** Called for a device before its first frame, and when AF_XDP fails on it. */
export type XdpReport = (device: string, way: string) => void

/**
 * Sends short packets through AF_XDP, which bypasses queueing disciplines. Packets that are longer than a chunk, need a
 * checksum, or find no free chunk go through the link layer, together with those after them in the same flush, so that
 * the order is kept.
 */
export class XdpSender implements PacketSender {
  readonly refused: Map<number, number>
  readonly #link: LinkSender
  readonly #report: XdpReport
  /** By device index; undefined: the device refuses AF_XDP. */
  readonly #sockets = new Map<number, XdpSocket | undefined>()
  #sentCount = 0

  /** @param link knows the next hops and sends the rest; closed with this sender */
  constructor(link: LinkSender, report: XdpReport) {
    this.#link = link
    this.refused = link.refused
    this.#report = report
  }

  get sentCount(): number {
    return this.#sentCount + this.#link.sentCount
  }

  canSegment(targetAddress: number): boolean {
    return this.#link.canSegment(targetAddress)
  }

  pathTo(targetAddress: number): TargetPath {
    return this.#link.pathTo(targetAddress)
  }

  mtu(targetAddress: number): number {
    return this.#link.mtu(targetAddress)
  }

  refresh(): void {
    this.#link.refresh()
    this.#send() // frames that did not fit
  }

  flush(outbox: Outbox): void {
    let frame = 0
    while (frame < outbox.count && this.#add(outbox, frame)) frame++
    this.#send()
    for (; frame < outbox.count; frame++) this.#link.add(outbox, frame)
    this.#link.send()
    outbox.clear()
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket?.close()
    this.#sockets.clear()
    this.#link.close()
  }

  /** @returns false if the frame must go through the link layer */
  #add(outbox: Outbox, frame: number): boolean {
    const headerLength = int32At(outbox.headerLength, frame)
    const length = ETHERNET_HEADER + headerLength + int32At(outbox.payloadLength, frame)
    if (int32At(outbox.segmentLength, frame) > 0 || length > CHUNK_LENGTH) return false
    const { header, hop } = this.#link.ways.to(int32At(outbox.targetAddress, frame))
    if (header === undefined || hop === undefined) return false
    const socket = this.#socketOf(hop.deviceIndex)
    const at = socket?.take() ?? -1
    if (socket === undefined || at < 0) return false
    const { frames } = socket
    copyBytes(header, 0, frames, at, ETHERNET_HEADER)
    copyBytes(outbox.memory, int32At(outbox.headerAt, frame), frames, at + ETHERNET_HEADER, headerLength)
    let to = at + ETHERNET_HEADER + headerLength
    const end = int32At(outbox.firstRange, frame + 1)
    for (let range = int32At(outbox.firstRange, frame); range < end; range++) {
      const octets = int32At(outbox.rangeLength, range)
      const copy = octets < MEMCPY_FROM ? copyBytes : copyOctets
      copy(outbox.memory, int32At(outbox.rangeAt, range), frames, to, octets)
      to += octets
    }
    socket.add(at, length)
    this.#sentCount += 1
    return true
  }

  #socketOf(deviceIndex: number): XdpSocket | undefined {
    const known = this.#sockets.get(deviceIndex)
    if (known !== undefined || this.#sockets.has(deviceIndex)) return known
    let socket: XdpSocket | undefined
    try {
      socket = new XdpSocket(deviceIndex)
      this.#report(deviceName(deviceIndex), 'AF_XDP')
    } catch (error) {
      if (!(error instanceof XdpRefusal)) throw error
      this.#report(deviceName(deviceIndex), `link layer: AF_XDP was refused: ${errnoMessage(error.errno)}`)
    }
    this.#sockets.set(deviceIndex, socket)
    return socket
  }

  /** Gives up a socket that fails; its device uses the link layer from then on. */
  #send(): void {
    for (const [deviceIndex, socket] of this.#sockets) {
      const error = socket?.send() ?? 0
      if (socket === undefined || error === 0) continue
      const count = socket.waiting
      this.#sentCount -= count
      this.refused.set(error, (this.refused.get(error) ?? 0) + count)
      this.#report(deviceName(deviceIndex), `link layer: AF_XDP failed: ${errnoMessage(error)}`)
      socket.close()
      this.#sockets.set(deviceIndex, undefined)
    }
  }
}
