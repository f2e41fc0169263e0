/** Helpers for sockets: int options, pending errors, addresses. */
import { addressFrom, formatEndpoint } from '../../../wire/address.ts'
import { addressBook, isIpv6 } from '../../../wire/address-book.ts'
import { int32At } from '../../../wire/bytes.ts'
import {
  AF_INET,
  AF_INET6,
  getsockopt,
  SO_ERROR,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOL_SOCKET,
  setsockopt
} from '../system/libc.ts'
import { allocate, type Block } from '../system/memory.ts'

/** Size of a sockaddr_in, ip(7), and a sockaddr_in6, ipv6(7), whose address is at offset 8. */
export const INET_ADDRESS_LENGTH = 16
export const INET6_ADDRESS_LENGTH = 28
const INET6_OCTETS_AT = 8

const option = allocate(8)

/** setsockopt(2) with an int. @returns the result of setsockopt */
export function setOption(fd: number, level: number, name: number, value: number): number {
  option.words[0] = value
  return setsockopt(fd, level, name, option.address, 4)
}

/** getsockopt(2) with an int. @returns its value, 0 on failure */
export function getOption(fd: number, level: number, name: number): number {
  option.words[0] = 0
  option.words[1] = 4
  return getsockopt(fd, level, name, option.address, option.address + 4) === 0 ? int32At(option.words, 0) : 0
}

/** Reads and clears the pending error of a socket; 0: none. */
export function takeError(fd: number): number {
  return getOption(fd, SOL_SOCKET, SO_ERROR)
}

/** Sets the receive buffer, beyond the system's limit if permitted (CAP_NET_ADMIN). */
export function setReceiveBuffer(fd: number, length: number): void {
  if (setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, length) !== 0) setOption(fd, SOL_SOCKET, SO_RCVBUF, length)
}

/** Sets the send buffer, beyond the system's limit if permitted (CAP_NET_ADMIN). */
export function setSendBuffer(fd: number, length: number): void {
  if (setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, length) !== 0) setOption(fd, SOL_SOCKET, SO_SNDBUF, length)
}

/** Swaps the bytes of an int32: to network byte order on x86-64 and arm64. */
function swap32(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)
}

/** Writes a sockaddr for the address at `at` in `block`. @returns its length */
export function putInetAddress(block: Block, address: number, port: number, at = 0): number {
  const word = at >>> 2
  block.words[word] = (isIpv6(address) ? AF_INET6 : AF_INET) | ((port & 0xff) << 24) | ((port & 0xff00) << 8)
  if (!isIpv6(address)) {
    block.words[word + 1] = swap32(address)
    return INET_ADDRESS_LENGTH
  }
  block.words[word + 1] = 0
  addressBook.put(address, block.bytes, at + INET6_OCTETS_AT)
  block.words[word + 6] = 0
  return INET6_ADDRESS_LENGTH
}

/** Formats a sockaddr: `10.77.0.3:36524` or `[2001:db8::3]:36524`. */
export function formatInetAddress(block: Block): string {
  const isInet6 = (int32At(block.words, 0) & 0xffff) === AF_INET6
  const octets = isInet6 ? block.bytes.slice(INET6_OCTETS_AT, INET6_OCTETS_AT + 16) : block.bytes.slice(4, 8)
  return formatEndpoint(addressFrom(octets), inetPort(block))
}

/** The port of a sockaddr_in or sockaddr_in6. */
export function inetPort(block: Block): number {
  const word = int32At(block.words, 0)
  return (word >>> 24) | ((word >>> 8) & 0xff00)
}
