/** Messages to and from the kernel's socket monitor: sock_diag(7), linux/inet_diag.h. */
import { u8 } from '../../../wire/bytes.ts'
import { AF_NETLINK, SOCK_CLOEXEC, SOCK_RAW, socket } from '../system/libc.ts'
import { allocate, type Block } from '../system/memory.ts'
import { ATTRIBUTE_HEADER, attributeLength, findAttribute } from './netlink.ts'

const NETLINK_SOCK_DIAG = 4
const WITH_INFO = 1 << 1
const INET_DIAG_INFO = 2
const NLM_F_REQUEST = 1
/** NLM_F_ROOT and NLM_F_MATCH: all sockets that match. */
const NLM_F_DUMP = 0x300

/** Type of requests and replies. */
export const SOCK_DIAG_BY_FAMILY = 20
/** nlmsghdr, then inet_diag_req_v2 in a request and inet_diag_msg in a reply. */
export const HEADER_LENGTH = 16
export const REQUEST_LENGTH = HEADER_LENGTH + 56
/** Offsets in a request. */
const FAMILY_AT = HEADER_LENGTH
export const SOURCE_PORT_AT = 24
/** Offset of the state in a reply, and where its attributes begin. */
const STATE_AT = HEADER_LENGTH + 1
export const ATTRIBUTES_AT = HEADER_LENGTH + 72

/** States of sockets, as in tcp_states.h. A socket of UDP without a peer is in state CLOSE. */
export const KernelState = {
  Established: 1,
  SynSent: 2,
  SynRecv: 3,
  Close: 7,
  CloseWait: 8,
  Listen: 10,
  NewSynRecv: 12
} as const

/** @returns a socket to ask on; negative with an errno if the kernel has no sock_diag */
export function openSockDiag(): number {
  return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
}

/**
 * A request with tcp_info in its replies, for all of a family, its ports and addresses still zero.
 * @param protocol by number; @param states a bit for each kernel state; @param isDump asks for all sockets that match
 */
export function newRequest(protocol: number, states: number, isDump: boolean): Block {
  const request = allocate(REQUEST_LENGTH)
  const flags = NLM_F_REQUEST | (isDump ? NLM_F_DUMP : 0)
  request.words.set([REQUEST_LENGTH, SOCK_DIAG_BY_FAMILY | (flags << 16)])
  request.bytes[FAMILY_AT + 1] = protocol
  request.bytes[FAMILY_AT + 2] = WITH_INFO
  request.words[(FAMILY_AT + 4) >>> 2] = states
  return request
}

/** @param family AF_INET or AF_INET6 */
export function putFamily({ bytes }: Block, family: number): void {
  bytes[FAMILY_AT] = family
}

/** Writes a port in network byte order. */
export function putPort(bytes: Uint8Array, at: number, port: number): void {
  bytes[at] = port >>> 8
  bytes[at + 1] = port
}

/** The state of the socket in the reply at an offset. */
export function stateIn(bytes: Uint8Array, at: number): number {
  return u8(bytes, at + STATE_AT)
}

/**
 * Finds tcp_info in the reply between two offsets.
 * @param length that it must have, in bytes
 * @returns its offset; 0: the kernel does not tell as much
 */
export function tcpInfoAt({ words, bytes }: Block, at: number, end: number, length: number): number {
  const infoAt = findAttribute(words, at + ATTRIBUTES_AT, end, INET_DIAG_INFO)
  if (infoAt === 0) return 0
  return attributeLength(bytes, infoAt - ATTRIBUTE_HEADER) - ATTRIBUTE_HEADER < length ? 0 : infoAt
}
