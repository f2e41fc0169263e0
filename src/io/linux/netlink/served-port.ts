/** What the kernel of this host knows of a local port: who listens, and who is connected. sock_diag(7) */
import { addressFrom } from '../../../wire/address.ts'
import { int32At, u8, u16 } from '../../../wire/bytes.ts'
import { TCP } from '../../../wire/segment.ts'
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  close,
  MSG_DONTWAIT,
  recv,
  SOCK_CLOEXEC,
  SOCK_RAW,
  send,
  socket
} from '../system/libc.ts'
import { allocate } from '../system/memory.ts'
import { ATTRIBUTE_HEADER, aligned, attributeLength, findAttribute } from './netlink.ts'

const NETLINK_SOCK_DIAG = 4
const SOCK_DIAG_BY_FAMILY = 20
const NLM_F_REQUEST_DUMP = 0x301
const NLMSG_DONE = 3
const HEADER_LENGTH = 16
const REQUEST_LENGTH = HEADER_LENGTH + 56
const SOURCE_PORT_AT = 24
const STATE_AT = HEADER_LENGTH + 1
const ADDRESS_AT = HEADER_LENGTH + 8
const ATTRIBUTES_AT = HEADER_LENGTH + 72
const WITH_INFO = 1 << 1
const INET_DIAG_INFO = 2
/** Offset of tcpi_last_data_recv in tcp_info, in ms. */
const LAST_RECEIVED_AT = 52
const REPLY_LENGTH = 32_768
/** Kernel states, as in tcp_states.h. A socket of UDP without a peer is in state CLOSE. */
const TCP_ESTABLISHED = 1
const TCP_CLOSE = 7
const TCP_CLOSE_WAIT = 8
const TCP_LISTEN = 10
const STATES = [TCP_ESTABLISHED, TCP_CLOSE, TCP_CLOSE_WAIT, TCP_LISTEN].reduce((set, state) => set | (1 << state), 0)
/** Connections that are looked at. */
const CLIENTS_MAX = 10_000

export interface ServedPort {
  /** Addresses on which programs listen; 0: any. */
  readonly listeners: readonly number[]
  /** Connections from clients, at most 10,000. */
  readonly clients: number
  /** Of these, the least time since data arrived, in ms; Infinity: unknown, or there is none. */
  readonly receivedAgeMs: number
}

interface Found {
  readonly listeners: Set<number>
  clients: number
  receivedAgeMs: number
}

/** @param protocol TCP or UDP, by number @returns undefined if the kernel does not tell */
export function readServedPort(port: number, protocol: number): ServedPort | undefined {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
  if (fd < 0) return undefined
  const found: Found = { listeners: new Set(), clients: 0, receivedAgeMs: Number.POSITIVE_INFINITY }
  try {
    for (const family of [AF_INET, AF_INET6]) if (!dump(fd, family, port, protocol, found)) return undefined
  } finally {
    close(fd)
  }
  return { ...found, listeners: [...found.listeners] }
}

/** @returns false if the kernel does not tell */
function dump(fd: number, family: number, port: number, protocol: number, found: Found): boolean {
  const request = allocate(REQUEST_LENGTH)
  request.words.set([REQUEST_LENGTH, SOCK_DIAG_BY_FAMILY | (NLM_F_REQUEST_DUMP << 16)])
  request.bytes.set([family, protocol, WITH_INFO], HEADER_LENGTH)
  request.words[(HEADER_LENGTH + 4) >>> 2] = STATES
  request.bytes[SOURCE_PORT_AT] = port >>> 8
  request.bytes[SOURCE_PORT_AT + 1] = port
  if (send(fd, request.address, REQUEST_LENGTH, 0) < 0) return false
  const { words, bytes, address } = allocate(REPLY_LENGTH)
  for (;;) {
    // The kernel writes the next part of a dump within the call.
    const length = recv(fd, address, REPLY_LENGTH, MSG_DONTWAIT)
    if (length < HEADER_LENGTH) return false
    for (let at = 0; at + HEADER_LENGTH <= length; ) {
      const messageLength = int32At(words, at >>> 2)
      const message = int32At(words, (at >>> 2) + 1) & 0xffff
      if (message === NLMSG_DONE) return true
      if (message !== SOCK_DIAG_BY_FAMILY || messageLength < ATTRIBUTES_AT) return false
      if (u16(bytes, at + HEADER_LENGTH + 4) === port) take(words, bytes, at, at + messageLength, protocol, found)
      if (found.clients >= CLIENTS_MAX) return true
      at += aligned(messageLength)
    }
  }
}

function take(words: Int32Array, bytes: Uint8Array, at: number, end: number, protocol: number, found: Found): void {
  const state = u8(bytes, at + STATE_AT)
  if (state === TCP_LISTEN || (protocol !== TCP && state === TCP_CLOSE)) {
    const length = u8(bytes, at + HEADER_LENGTH) === AF_INET6 ? 16 : 4
    const local = bytes.subarray(at + ADDRESS_AT, at + ADDRESS_AT + length)
    found.listeners.add(local.every((byte) => byte === 0) ? 0 : addressFrom(local))
    return
  }
  if (state === TCP_CLOSE) return
  found.clients += 1
  const infoAt = findAttribute(words, at + ATTRIBUTES_AT, end, INET_DIAG_INFO)
  if (infoAt === 0) return
  const infoLength = attributeLength(bytes, infoAt - ATTRIBUTE_HEADER) - ATTRIBUTE_HEADER
  if (infoLength < LAST_RECEIVED_AT + 4) return
  found.receivedAgeMs = Math.min(found.receivedAgeMs, int32At(words, (infoAt + LAST_RECEIVED_AT) >>> 2) >>> 0)
}
