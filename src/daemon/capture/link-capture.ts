/**
 * A capture of whole frames, for devices that see packets for other hosts, for example at a mirror port. It finds the
 * packets of clients behind tags and in tunnels, and leaves out all others.
 */
import { Incomplete, PacketFinder } from '../../core/capture/packet-finder.ts'
import { ChecksumState, type HeldCapture, type PacketSink, type TimedCapture } from '../../ports.ts'
import { addressBook } from '../../wire/address-book.ts'
import { i32, u8, u16 } from '../../wire/bytes.ts'
import { Flaw } from '../../wire/flaw.ts'
import { chain, followHeaders } from '../../wire/ipv6.ts'
import { ETHERNET_HEADER, LinkType } from '../../wire/link-layer.ts'

export interface LinkDevice {
  /** Captures frames with their link headers. Closed with the link capture. */
  readonly capture: TimedCapture
  /** Type of the frames' link header; see LinkType. */
  readonly linkType: number
}

export interface LinkCaptureOptions {
  /** 6: TCP, 17: UDP. */
  readonly protocol: number
  /** Whether packets to this address and port are wanted. */
  readonly isWanted: (address: number, port: number) => boolean
  /** Counts packets that cannot be parsed, and with NotIpv4 those that are not wanted. */
  readonly refuse: (flaw: Flaw, packets: number) => void
}

/** Frames taken from a device before the next one, and frames examined in one call. */
const TURN = 64
const LOOKS_MAX = 4096
const NOBODY: PacketSink = () => {}

export class LinkCapture implements TimedCapture, HeldCapture {
  readonly #devices: readonly LinkDevice[]
  readonly #options: LinkCaptureOptions
  readonly #finder = new PacketFinder()
  /** The device and sink of the current call, and how many packets it gave. */
  #device: LinkDevice | undefined
  #sink: PacketSink = NOBODY
  #givenCount = 0
  #turn = 0
  #fragmentsCounted = 0
  readonly #take = this.#onFrame.bind(this)

  constructor(devices: readonly LinkDevice[], options: LinkCaptureOptions) {
    this.#devices = devices
    this.#options = options
  }

  begin(): void {
    for (const { capture } of this.#devices) capture.begin?.()
  }

  get capturedAtMs(): number {
    return this.#device?.capture.capturedAtMs ?? 0
  }

  /** @inheritDoc The devices take turns. */
  receive(sink: PacketSink, packetsMax: number): number {
    const devices = this.#devices
    this.#sink = sink
    this.#givenCount = 0
    let looks = 0
    let emptyCount = 0
    while (emptyCount < devices.length && this.#givenCount < packetsMax && looks < LOOKS_MAX) {
      this.#device = devices[this.#turn]
      this.#turn = (this.#turn + 1) % devices.length
      const wanted = Math.min(packetsMax - this.#givenCount, TURN)
      const seen = this.#device?.capture.receive(this.#take, wanted) ?? 0
      looks += seen
      emptyCount = seen < wanted ? emptyCount + 1 : 0
    }
    return this.#givenCount
  }

  dropped(): number {
    this.#countFragments()
    return this.#devices.reduce((total, { capture }) => total + capture.dropped(), 0)
  }

  isFilling(): boolean {
    return this.#devices.some(({ capture }) => capture.isFilling?.() === true)
  }

  finish(): void {
    this.#finder.finish()
    this.#countFragments()
  }

  close(): void {
    this.finish()
    for (const { capture } of this.#devices) capture.close()
  }

  #onFrame(bytes: Uint8Array, at: number, captured: number, wire: number, checksum: ChecksumState): void {
    const linkType = this.#device?.linkType ?? LinkType.Ethernet
    const finder = this.#finder
    let finding = finder.find(bytes, at, captured, wire, linkType)
    if (finding === Incomplete) finding = finder.join(this.capturedAtMs)
    if (finding === Incomplete) return
    const flaw = finding === Flaw.None ? this.#flawOf(finder) : finding
    if (flaw !== Flaw.None) {
      this.#options.refuse(flaw, 1)
      return
    }
    // The kernel's checksum state is that of the outermost packet.
    const isOutermost = !finder.isJoined && finder.at === at + (linkType === LinkType.Ethernet ? ETHERNET_HEADER : 0)
    this.#givenCount += 1
    this.#sink(finder.bytes, finder.at, finder.length, finder.wireLength, isOutermost ? checksum : ChecksumState.Filed)
  }

  /** @returns NotIpv4 for a packet that is not wanted */
  #flawOf({ bytes, at, length, wireLength }: PacketFinder): Flaw {
    const isIpv6 = u8(bytes, at) >>> 4 === 6
    const flaw = isIpv6 ? followHeaders(bytes, at, length, wireLength) : Flaw.None
    if (flaw !== Flaw.None) return flaw
    const protocol = isIpv6 ? chain.protocol : u8(bytes, at + 9)
    if (protocol !== this.#options.protocol) return Flaw.NotIpv4
    const portAt = at + (isIpv6 ? chain.length : (u8(bytes, at) & 0x0f) * 4) + 2
    if (portAt + 2 > at + length) return Flaw.Truncated
    const address = isIpv6 ? addressBook.intern(bytes, at + 24) : i32(bytes, at + 16)
    if (isIpv6 && address === 0) return Flaw.AddressesFull
    return this.#options.isWanted(address, u16(bytes, portAt)) ? Flaw.None : Flaw.NotIpv4
  }

  #countFragments(): void {
    const lost = this.#finder.lostFragments - this.#fragmentsCounted
    this.#fragmentsCounted += lost
    if (lost > 0) this.#options.refuse(Flaw.Fragment, lost)
  }
}
