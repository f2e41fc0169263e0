/** What the kernel of this host knows of a local port: who listens, and who is connected. sock_diag(7) */
import { addressFrom } from '../../../wire/address.ts'
import { int32At, u8, u16 } from '../../../wire/bytes.ts'
import { TCP } from '../../../wire/segment.ts'
import { AF_INET, AF_INET6, close, MSG_DONTWAIT, recv, send } from '../system/libc.ts'
import { allocate, type Block } from '../system/memory.ts'
import { aligned } from './netlink.ts'
import {
  ATTRIBUTES_AT,
  HEADER_LENGTH,
  KernelState,
  newRequest,
  openSockDiag,
  putFamily,
  putPort,
  REQUEST_LENGTH,
  SOCK_DIAG_BY_FAMILY,
  SOURCE_PORT_AT,
  stateIn,
  tcpInfoAt
} from './sock-diag-messages.ts'

const NLMSG_DONE = 3
const ADDRESS_AT = HEADER_LENGTH + 8
/** Offset of tcpi_last_data_recv in tcp_info, in ms. */
const LAST_RECEIVED_AT = 52
const REPLY_LENGTH = 32_768
const { Established, Close, CloseWait, Listen } = KernelState
const STATES = [Established, Close, CloseWait, Listen].reduce((set, state) => set | (1 << state), 0)
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
  const fd = openSockDiag()
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
  const request = newRequest(protocol, STATES, true)
  putFamily(request, family)
  putPort(request.bytes, SOURCE_PORT_AT, port)
  if (send(fd, request.address, REQUEST_LENGTH, 0) < 0) return false
  const reply = allocate(REPLY_LENGTH)
  const { words, bytes, address } = reply
  for (;;) {
    // The kernel writes the next part of a dump within the call.
    const length = recv(fd, address, REPLY_LENGTH, MSG_DONTWAIT)
    if (length < HEADER_LENGTH) return false
    for (let at = 0; at + HEADER_LENGTH <= length; ) {
      const messageLength = int32At(words, at >>> 2)
      const message = int32At(words, (at >>> 2) + 1) & 0xffff
      if (message === NLMSG_DONE) return true
      if (message !== SOCK_DIAG_BY_FAMILY || messageLength < ATTRIBUTES_AT) return false
      if (u16(bytes, at + HEADER_LENGTH + 4) === port) take(reply, at, at + messageLength, protocol, found)
      if (found.clients >= CLIENTS_MAX) return true
      at += aligned(messageLength)
    }
  }
}

function take(reply: Block, at: number, end: number, protocol: number, found: Found): void {
  const { words, bytes } = reply
  const state = stateIn(bytes, at)
  if (state === Listen || (protocol !== TCP && state === Close)) {
    const length = u8(bytes, at + HEADER_LENGTH) === AF_INET6 ? 16 : 4
    const local = bytes.subarray(at + ADDRESS_AT, at + ADDRESS_AT + length)
    found.listeners.add(local.every((byte) => byte === 0) ? 0 : addressFrom(local))
    return
  }
  if (state === Close) return
  found.clients += 1
  const infoAt = tcpInfoAt(reply, at, end, LAST_RECEIVED_AT + 4)
  if (infoAt === 0) return
  found.receivedAgeMs = Math.min(found.receivedAgeMs, int32At(words, (infoAt + LAST_RECEIVED_AT) >>> 2) >>> 0)
}
