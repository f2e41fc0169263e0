/** Looks at all traffic of this host for a moment, and counts which addresses and ports it is for. packet(7) */
import { addressFrom, formatEndpoint } from '../../../wire/address.ts'
import { u8, u16 } from '../../../wire/bytes.ts'
import { deviceIndex, deviceName } from '../netlink/devices.ts'
import {
  AF_PACKET,
  bind,
  close,
  MSG_DONTWAIT,
  recvfrom,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  socket
} from '../system/libc.ts'
import { allocate } from '../system/memory.ts'

const ETH_P_ALL_SWAPPED = 0x0300
const LINK_ADDRESS_LENGTH = 20
const DEVICE_AT = 4
const PACKET_TYPE_AT = 10
const PACKET_OTHERHOST = 3
const PACKET_OUTGOING = 4
/** IP and TCP headers: the rest of a packet is not looked at. */
const LOOK_LENGTH = 128
const IPV4_HEADER = 20
const IPV6_HEADER = 40
/** Packets that are looked at in all, and in one call. */
const PACKETS_MAX = 20_000
const PACKETS_AT_ONCE = 1000
/** Endpoints that are kept apart. */
const ENDPOINTS_MAX = 1000

/** Packets of one kind. */
export interface Sighting {
  readonly device: string
  /** `in`: for this host; `out`: from it; `passing`: for the link layer of another host. */
  readonly direction: 'in' | 'out' | 'passing'
  /** Where they go to, as in `10.0.0.1:80`, and the ports at both ends. */
  readonly to: string
  readonly toPort: number
  readonly from: string
  readonly fromPort: number
  packets: number
}

export class Survey {
  readonly #fds: readonly number[]
  readonly #protocol: number
  readonly #block = allocate(LOOK_LENGTH)
  /** sockaddr_ll, and its length. */
  readonly #name = allocate(LINK_ADDRESS_LENGTH + 4)
  readonly #byKey = new Map<string, Sighting>()
  readonly #devices = new Map<number, string>()
  #left = PACKETS_MAX

  /**
   * @param devices empty: all; @param protocol TCP or UDP, by number
   * @throws OperatorError `no-device`
   */
  constructor(devices: readonly string[], protocol: number) {
    this.#protocol = protocol
    const indexes = devices.length === 0 ? [0] : devices.map(deviceIndex)
    this.#fds = indexes.map(open)
  }

  /** Counts what has arrived. Call it several times a second: the kernel keeps a few hundred packets. */
  look(): void {
    for (const fd of this.#fds) {
      for (let count = 0; count < PACKETS_AT_ONCE && this.#left > 0; count++) {
        this.#name.words[LINK_ADDRESS_LENGTH >>> 2] = LINK_ADDRESS_LENGTH
        const { address } = this.#name
        const length = recvfrom(
          fd,
          this.#block.address,
          LOOK_LENGTH,
          MSG_DONTWAIT,
          address,
          address + LINK_ADDRESS_LENGTH
        )
        if (length < 0) break
        this.#left -= 1
        this.#take(length)
      }
    }
  }

  /** The most frequent first. */
  get sightings(): readonly Sighting[] {
    return [...this.#byKey.values()].sort((one, other) => other.packets - one.packets)
  }

  close(): void {
    for (const fd of this.#fds) if (fd >= 0) close(fd)
  }

  #take(length: number): void {
    const { bytes } = this.#block
    const isIpv4 = u8(bytes, 0) >>> 4 === 4
    const portsAt = isIpv4 ? (u8(bytes, 0) & 15) * 4 : IPV6_HEADER
    if (!isIpv4 && u8(bytes, 0) >>> 4 !== 6) return
    if (length < portsAt + 4 || u8(bytes, isIpv4 ? 9 : 6) !== this.#protocol) return
    if (isIpv4 && (portsAt < IPV4_HEADER || (u16(bytes, 6) & 0x1fff) !== 0)) return
    const [fromAt, toAt, addressLength] = isIpv4 ? [12, 16, 4] : [8, 24, 16]
    const type = u8(this.#name.bytes, PACKET_TYPE_AT)
    const direction = type === PACKET_OUTGOING ? 'out' : type === PACKET_OTHERHOST ? 'passing' : 'in'
    const device = this.#deviceOf(this.#name.words[DEVICE_AT >>> 2] ?? 0)
    const fromPort = u16(bytes, portsAt)
    const toPort = u16(bytes, portsAt + 2)
    const at = (offset: number): string => String(bytes.subarray(offset, offset + addressLength))
    // The lower port is the server's, nearly always: the clients' ports would be too many to keep apart.
    const serverAt = toPort <= fromPort ? `>${at(toAt)} ${toPort}` : `<${at(fromAt)} ${fromPort}`
    const key = `${device} ${direction} ${serverAt}`
    const seen = this.#byKey.get(key)
    if (seen !== undefined) seen.packets += 1
    else if (this.#byKey.size < ENDPOINTS_MAX) {
      const endpoint = (offset: number, port: number): string =>
        formatEndpoint(addressFrom(bytes.slice(offset, offset + addressLength)), port)
      const [to, from] = [endpoint(toAt, toPort), endpoint(fromAt, fromPort)]
      this.#byKey.set(key, { device, direction, to, toPort, from, fromPort, packets: 1 })
    }
  }

  #deviceOf(index: number): string {
    let name = this.#devices.get(index)
    if (name === undefined) {
      name = deviceName(index)
      this.#devices.set(index, name)
    }
    return name
  }
}

/** @returns −1 if that is not permitted: nothing is seen then */
function open(index: number): number {
  const fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
  if (fd < 0) return fd
  const name = allocate(LINK_ADDRESS_LENGTH)
  name.words[0] = AF_PACKET | (ETH_P_ALL_SWAPPED << 16)
  name.words[1] = index
  if (bind(fd, name.address, LINK_ADDRESS_LENGTH) === 0) return fd
  close(fd)
  return -1
}
