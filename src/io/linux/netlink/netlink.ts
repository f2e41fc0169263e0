/** Messages to netfilter, and attributes of any netlink message: netlink(7), linux/netfilter/nfnetlink.h. */
import { int32At, u8 } from '../../../wire/bytes.ts'
import {
  AF_NETLINK,
  bind,
  close,
  errno,
  recv,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  send,
  socket
} from '../system/libc.ts'
import { allocate, type Block } from '../system/memory.ts'

const NETLINK_NETFILTER = 12
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLMSG_ERROR = 2
/** nlmsghdr and nfgenmsg. */
export const MESSAGE_HEADER = 20
/** nlattr: length, then type. */
export const ATTRIBUTE_HEADER = 4
/** Size of a reply: an error and the start of the request. */
const ANSWER_LENGTH = 1024

/** Aligned length of a message or attribute of `length` bytes. */
export function aligned(length: number): number {
  return (length + 3) & ~3
}

/** Numbers in host byte order, little-endian on x86-64 and arm64. */
export function attributeLength(bytes: Uint8Array, at: number): number {
  return u8(bytes, at) | (u8(bytes, at + 1) << 8)
}

export function attributeType(bytes: Uint8Array, at: number): number {
  return u8(bytes, at + 2) | (u8(bytes, at + 3) << 8)
}

/**
 * Writes the header of a netfilter message.
 * @param at a multiple of 4
 * @param length of the whole message
 * @param type subsystem in the upper byte, its message in the lower
 * @param resource of the subsystem, such as a queue number
 */
export function putMessageHeader(
  block: Block,
  at: number,
  length: number,
  type: number,
  resource: number,
  isAcknowledged: boolean
): void {
  const word = at >>> 2
  block.words[word] = length
  block.words[word + 1] = type | ((NLM_F_REQUEST | (isAcknowledged ? NLM_F_ACK : 0)) << 16)
  block.words[word + 2] = 0
  block.words[word + 3] = 0
  // nfgenmsg: any family, version 0, and the resource in network byte order.
  block.words[word + 4] = ((resource & 0xff) << 24) | ((resource & 0xff00) << 8)
}

/** Writes an attribute's header. @param length of its value @returns the offset of the value */
export function putAttribute(block: Block, at: number, type: number, length: number): number {
  block.words[at >>> 2] = (length + ATTRIBUTE_HEADER) | (type << 16)
  return at + ATTRIBUTE_HEADER
}

/** Opens a non-blocking netfilter socket. @returns −1 with an errno */
export function openNetfilter(): number {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_NETFILTER)
  if (fd < 0) return fd
  const address = allocate(12) // sockaddr_nl: the kernel chooses the address.
  address.words[0] = AF_NETLINK
  if (bind(fd, address.address, 12) === 0) return fd
  close(fd)
  return -1
}

/**
 * Sends a message and reads its acknowledgment, which the kernel writes within the call.
 * @returns 0 or an errno
 */
export function request(fd: number, message: Block, length: number): number {
  if (send(fd, message.address, length, 0) < 0) return errno()
  const answer = allocate(ANSWER_LENGTH)
  for (;;) {
    if (recv(fd, answer.address, ANSWER_LENGTH, 0) < 0) return errno()
    const isAnswer = (int32At(answer.words, 1) & 0xffff) === NLMSG_ERROR
    if (isAnswer) return -int32At(answer.words, 4) || 0
  }
}

/**
 * Finds an attribute of a reply. Attributes stand one after the other from `from` to `end`, offsets in bytes.
 * @param length of its value, in bytes; 0: any
 * @returns the offset of the value; 0: there is none
 */
export function findAttribute(words: Int32Array, from: number, end: number, type: number, length = 0): number {
  for (let at = from; at + ATTRIBUTE_HEADER <= end; ) {
    const word = int32At(words, at >>> 2)
    const attributeLength = word & 0xffff
    if (attributeLength < ATTRIBUTE_HEADER) return 0
    // The two upper bits of a type are flags.
    const isWanted = ((word >>> 16) & 0x3fff) === type
    if (isWanted && (length === 0 || attributeLength === ATTRIBUTE_HEADER + length)) return at + ATTRIBUTE_HEADER
    at += aligned(attributeLength)
  }
  return 0
}
