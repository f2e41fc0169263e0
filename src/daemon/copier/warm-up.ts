/**
 * The warm-up: a copier in memory, with clients that ask and a target that answers. The JavaScript engine compiles only
 * functions that run often. Until then a request takes a hundred times as long, and packets of a busy server would
 * overrun the capture in the first half second.
 */
import { Counters } from '../../core/books/counters.ts'
import type { CopyBytes } from '../../core/memory/send-pool.ts'
import type { Outbox } from '../../core/packets/outbox.ts'
import type { CopyMap } from '../../core/selection/mapping.ts'
import { SELECTION_DEFAULTS } from '../../core/selection/settings.ts'
import { SESSION_DEFAULTS } from '../../core/session/settings.ts'
import { copyMemoryLength, LIMIT_DEFAULTS } from '../../core/sessions/assembly.ts'
import {
  type Capture,
  ChecksumState,
  type Clock,
  type Cryptography,
  type PacketSender,
  type PacketSink
} from '../../ports.ts'
import { put16, put32, u16 } from '../../wire/bytes.ts'
import { ACK, FIN, IPV4_HEADER, PSH, parseIpv4, Segment, SYN, TCP, TCP_HEADER } from '../../wire/segment.ts'
import { CHANNEL_DEFAULT } from '../channel/negotiation.ts'
import { Notices } from '../notices/notices.ts'
import { Copier } from './copier.ts'
import type { CopierSettings } from './settings.ts'

const SOURCE = 0x0a000001
const TARGET = 0x0a000002
const CLIENT = 0x0a000003
const PORT = 80
const CLIENTS = 16
/** Requests of a connection, before its client closes it and opens another. */
const REQUESTS = 30
/** In bytes: shorter than what the fast checksum takes, one segment, several segments. */
const LENGTHS = [40, 150, 700, 1448, 9000]
const ANSWER_LENGTH = 50
const POOL_BYTES = 1 << 20
const OPTIONS_LENGTH = 16
/** A SYN has an MSS of 1460, other segments four NOPs; then two NOPs and the timestamps (RFC 7323 appendix A). */
const MSS_OPTION = 0x020405b4
const NO_OPTION = 0x01010101
const TIMESTAMPS = 0x0101080a
const HEADERS = IPV4_HEADER + TCP_HEADER + OPTIONS_LENGTH
const STRIDE = 16_384
const MTU = 1500
const TURN_MS = 0.05
const NEVER_MS = 3600_000

/** What a segment says. */
interface Said {
  readonly flags: number
  readonly seq: number
  readonly ack: number
  /** Bytes of payload. */
  readonly length: number
}

interface Addresses {
  readonly from: number
  readonly to: number
}

const TO_SOURCE: Addresses = { from: CLIENT, to: SOURCE }
const TO_CLIENT: Addresses = { from: TARGET, to: CLIENT }

/** Packets of clients, each in a place of its own. */
class ClientPackets implements Capture {
  readonly bytes = new Uint8Array(CLIENTS * STRIDE)
  readonly #lengths = new Int32Array(CLIENTS)
  #next = CLIENTS

  /** Writes a client's next packet. */
  set(client: number, said: Said): void {
    putPacket(this.bytes, client * STRIDE, TO_SOURCE, said)
    this.#lengths[client] = HEADERS + said.length
  }

  begin(): void {
    this.#next = 0
  }

  receive(sink: PacketSink, packetsMax: number): number {
    let count = 0
    for (; this.#next < CLIENTS && count < packetsMax; this.#next++, count++) {
      const length = this.#lengths[this.#next] ?? 0
      sink(this.bytes, this.#next * STRIDE, length, length, ChecksumState.Partial)
    }
    return count
  }

  dropped(): number {
    return 0
  }

  close(): void {}
}

/** Writes a packet without its ports. */
function putPacket(bytes: Uint8Array, at: number, { from, to }: Addresses, { flags, seq, ack, length }: Said): void {
  const tcpAt = at + IPV4_HEADER
  bytes[at] = 0x45
  put16(bytes, at + 2, HEADERS + length)
  put16(bytes, at + 6, 0x4000)
  bytes[at + 8] = 64
  bytes[at + 9] = TCP
  put32(bytes, at + 12, from)
  put32(bytes, at + 16, to)
  put32(bytes, tcpAt + 4, seq)
  put32(bytes, tcpAt + 8, ack)
  bytes[tcpAt + 12] = ((TCP_HEADER + OPTIONS_LENGTH) / 4) << 4
  bytes[tcpAt + 13] = flags
  put16(bytes, tcpAt + 14, 60_000)
  put32(bytes, tcpAt + 20, flags & SYN ? MSS_OPTION : NO_OPTION)
  put32(bytes, tcpAt + 24, TIMESTAMPS)
  put32(bytes, tcpAt + 28, 1)
  put32(bytes, tcpAt + 32, 1)
}

/** Discards all frames. */
class NullSender implements PacketSender {
  sentCount = 0
  readonly refused = new Map<number, number>()
  canSegment(): boolean {
    return true
  }
  mtu(): number {
    return MTU
  }
  refresh(): void {}
  flush(outbox: Outbox): void {
    this.sentCount += outbox.count
    outbox.clear()
  }
  close(): void {}
}

const LIMITS = { ...LIMIT_DEFAULTS, poolBytes: POOL_BYTES, sessionsMax: 1024 }

function settingsFor(maps: readonly CopyMap[]): CopierSettings {
  const gate = { isWaiting: true, timeoutMs: NEVER_MS }
  const holes = { ...SESSION_DEFAULTS.holes, atEndMs: NEVER_MS }
  return {
    selection: { ...SELECTION_DEFAULTS, maps },
    session: { ...SESSION_DEFAULTS, timeoutMs: NEVER_MS, keepAliveMs: NEVER_MS, roundTripMs: 0, gate, holes },
    limits: LIMITS,
    packets: { mtuBytes: MTU, mssBytes: undefined },
    channel: { intercepts: [], connectionsEach: 1, options: CHANNEL_DEFAULT }
  }
}

class WarmUp {
  readonly counters = new Counters()
  readonly #clock = { now: 1000 }
  readonly #packets = new ClientPackets()
  readonly #copier: Copier
  readonly #answer = new Uint8Array(HEADERS)
  readonly #segment = new Segment()
  #connection = 0

  constructor(cryptography: Cryptography, copy: CopyBytes) {
    const map = { sourceAddress: 0, sourcePort: PORT, targetAddress: TARGET, targetPort: PORT }
    const clock: Clock = { now: () => this.#clock.now }
    const network = {
      connect: () => {
        throw new Error('a warm-up has no intercept')
      }
    }
    const ports = { capture: this.#packets, sender: new NullSender(), network, cryptography, clock, copy }
    const memory = new Uint8Array(copyMemoryLength(LIMITS))
    const means = { memory, counters: this.counters }
    const silent = { waiter: { wait: () => {} }, notices: new Notices(), log: () => {} }
    this.#copier = new Copier({ ...ports, ...silent }, settingsFor([map]), means)
  }

  /** A connection of each client, from its SYN to its FIN. */
  act(): void {
    const firstPort = 1024 + ((this.#connection++ * CLIENTS) % 60_000)
    for (let client = 0; client < CLIENTS; client++)
      put16(this.#packets.bytes, client * STRIDE + IPV4_HEADER, firstPort + client)
    for (let client = 0; client < CLIENTS; client++) put16(this.#packets.bytes, client * STRIDE + IPV4_HEADER + 2, PORT)
    let said = 100
    let heard = 500
    this.#exchange(
      { flags: SYN, seq: said - 1, ack: 0, length: 0 },
      { flags: SYN | ACK, seq: heard - 1, ack: said, length: 0 }
    )
    for (let request = 0; request < REQUESTS; request++) {
      const length = LENGTHS[request % LENGTHS.length] ?? 0
      this.#exchange(
        { flags: ACK | PSH, seq: said, ack: heard, length },
        { flags: ACK | PSH, seq: heard, ack: said + length, length: ANSWER_LENGTH }
      )
      said += length
      heard += ANSWER_LENGTH
    }
    this.#exchange(
      { flags: ACK | FIN, seq: said, ack: heard, length: 0 },
      { flags: ACK | FIN, seq: heard, ack: said + 1, length: 0 }
    )
  }

  /** Every client sends a segment, and the target answers each. */
  #exchange(request: Said, answer: Said): void {
    for (let client = 0; client < CLIENTS; client++) this.#packets.set(client, request)
    this.#packets.begin()
    this.#turn()
    const bytes = this.#answer
    for (let client = 0; client < CLIENTS; client++) {
      putPacket(bytes, 0, TO_CLIENT, answer)
      put16(bytes, IPV4_HEADER, PORT)
      put16(bytes, IPV4_HEADER + 2, u16(this.#packets.bytes, client * STRIDE + IPV4_HEADER))
      parseIpv4(bytes, 0, HEADERS, HEADERS + answer.length, true, this.#segment)
      this.#copier.sessions.onTarget(this.#segment, this.#clock.now)
    }
    this.#turn()
  }

  #turn(): void {
    this.#clock.now += TURN_MS
    this.#copier.turn()
  }
}

/**
 * Warms up as long as `mayGoOn` returns true; it is called after every 480 requests.
 * @returns what the copier counted
 */
export function warmUp(cryptography: Cryptography, copy: CopyBytes, mayGoOn: () => boolean): Counters {
  const run = new WarmUp(cryptography, copy)
  while (mayGoOn()) run.act()
  return run.counters
}
