/**
 * A capture of the packets that this host accepts itself: it leaves out those that the host forwards or discards, unless
 * `-x` names their address.
 */
import type { OwnAddresses } from '../../core/selection/own-addresses.ts'
import type { ChecksumState, HeldCapture, PacketSink } from '../../ports.ts'
import { addressBook } from '../../wire/address-book.ts'
import { i32, u8, u16 } from '../../wire/bytes.ts'
import { IPV6_HEADER } from '../../wire/ipv6.ts'
import { IPV4_HEADER, TCP } from '../../wire/segment.ts'

const UDP = 17
const TO_4_AT = 16
const TO_6_AT = 24
const NOBODY: PacketSink = () => {}

/** An address and port that `-x` names. */
export interface NamedPlace {
  readonly address: number
  readonly port: number
}

export class OwnCapture<Kind extends HeldCapture> implements HeldCapture {
  readonly #capture: Kind
  readonly #own: OwnAddresses
  readonly #named: readonly NamedPlace[]
  readonly #leftOut: () => void
  /** The sink of the current call. */
  #sink: PacketSink = NOBODY
  /** An IPv4 address of this host, which had the last packet; 0: none. Valid during a call. */
  #last = 0
  readonly #take = this.#onPacket.bind(this)

  /**
   * @param capture is closed with this capture
   * @param named captured although their addresses are not this host's
   * @param leftOut called for each packet that is left out
   */
  constructor(capture: Kind, own: OwnAddresses, named: readonly NamedPlace[], leftOut: () => void) {
    this.#capture = capture
    this.#own = own
    this.#named = named.filter(({ address }) => address !== 0)
    this.#leftOut = leftOut
  }

  /** See `TimedCapture`; NaN if the capture does not know. */
  get capturedAtMs(): number {
    return this.#capture.capturedAtMs ?? Number.NaN
  }

  begin(): void {
    this.#capture.begin()
  }

  receive(sink: PacketSink, packetsMax: number): number {
    this.#sink = sink
    this.#last = 0
    return this.#capture.receive(this.#take, packetsMax)
  }

  isFilling(): boolean {
    return this.#capture.isFilling?.() ?? false
  }

  dropped(): number {
    return this.#capture.dropped()
  }

  finish(): void {
    this.#capture.finish?.()
  }

  close(): void {
    this.#capture.close()
  }

  #onPacket(bytes: Uint8Array, at: number, captured: number, length: number, checksum: ChecksumState): void {
    // What is too short is left to the parser, which says why it drops it.
    const isOurs = u8(bytes, at) >>> 4 === 6 ? this.#isOurs6(bytes, at, captured) : this.#isOurs4(bytes, at, captured)
    if (isOurs) this.#sink(bytes, at, captured, length, checksum)
    else this.#leftOut()
  }

  #isOurs4(bytes: Uint8Array, at: number, captured: number): boolean {
    if (captured < IPV4_HEADER) return true
    const address = i32(bytes, at + TO_4_AT)
    if (address === this.#last) return true
    if (this.#own.hasAt(bytes, at + TO_4_AT, 4)) {
      this.#last = address
      return true
    }
    const portAt = (u8(bytes, at) & 0x0f) * 4 + 2
    return captured >= portAt + 2 && this.#isNamed(address, u16(bytes, at + portAt))
  }

  #isOurs6(bytes: Uint8Array, at: number, captured: number): boolean {
    if (captured < IPV6_HEADER || this.#own.hasAt(bytes, at + TO_6_AT, 6)) return true
    const address = addressBook.find(bytes, at + TO_6_AT)
    if (address === 0) return false
    const next = u8(bytes, at + 6)
    // Behind extension headers the port is not looked for.
    const hasPort = (next === TCP || next === UDP) && captured >= IPV6_HEADER + 4
    return this.#isNamed(address, hasPort ? u16(bytes, at + IPV6_HEADER + 2) : undefined)
  }

  #isNamed(address: number, port: number | undefined): boolean {
    for (const named of this.#named) {
      if (named.address === address && (port === undefined || named.port === port)) return true
    }
    return false
  }
}
