/** Sums up client addresses without an answer as networks that hold no client with one. */
import { addressBytes, addressFrom, formatAddress } from '../../../wire/address.ts'

/** A client address, and how many connections it opened. */
export interface ClientAnswers {
  readonly address: number
  readonly connections: number
  readonly isAnswered: boolean
}

export interface ClientNetwork {
  /** `10.0.0.8/30`; a single address has no length. */
  readonly network: string
  readonly connections: number
}

interface Client {
  readonly bytes: Uint8Array
  readonly connections: number
  readonly isAnswered: boolean
}

/** The fewest networks that hold all clients without an answer and none with one; most connections first. */
export function unansweredNetworks(clients: readonly ClientAnswers[]): readonly ClientNetwork[] {
  const found: ClientNetwork[] = []
  for (const length of [4, 16]) {
    const ofVersion = clients
      .map((client) => ({ ...client, bytes: addressBytes(client.address) }))
      .filter(({ bytes }) => bytes.length === length)
    divide(ofVersion, 0, found)
  }
  return found.sort((one, other) => other.connections - one.connections)
}

/** Divides clients that agree in the first `bit` bits until each part has either only answered ones, or none. */
function divide(clients: readonly Client[], bit: number, found: ClientNetwork[]): void {
  if (clients.every(({ isAnswered }) => isAnswered)) return
  if (!clients.some(({ isAnswered }) => isAnswered)) {
    found.push(networkOf(clients))
    return
  }
  for (const side of [0, 1]) {
    divide(
      clients.filter(({ bytes }) => bitOf(bytes, bit) === side),
      bit + 1,
      found
    )
  }
}

/** The smallest network that holds all of these. */
function networkOf(clients: readonly Client[]): ClientNetwork {
  const [first] = clients
  const bytes = Uint8Array.from(first?.bytes ?? [])
  let length = bytes.length * 8
  for (const client of clients) {
    let same = 0
    while (same < length && bitOf(client.bytes, same) === bitOf(bytes, same)) same += 1
    length = same
  }
  for (let bit = length; bit < bytes.length * 8; bit++)
    bytes[bit >>> 3] = (bytes[bit >>> 3] ?? 0) & ~(0x80 >>> (bit & 7))
  const connections = clients.reduce((total, client) => total + client.connections, 0)
  const isOne = length === bytes.length * 8
  return { network: `${formatAddress(addressFrom(bytes))}${isOne ? '' : `/${length}`}`, connections }
}

function bitOf(bytes: Uint8Array, bit: number): number {
  return ((bytes[bit >>> 3] ?? 0) >>> (7 - (bit & 7))) & 1
}
