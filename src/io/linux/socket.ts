/** What all sockets here need: options of one int, a pending error, IPv4 addresses. */
import { int32At } from '../../wire/bytes.ts'
import {
  AF_INET,
  getsockopt,
  SO_ERROR,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SO_SNDBUF,
  SO_SNDBUFFORCE,
  SOL_SOCKET,
  setsockopt
} from './libc.ts'
import { allocate, type Block } from './memory.ts'

/** Octets of a sockaddr_in, ip(7). */
export const INET_ADDRESS_LENGTH = 16

const option = allocate(8)

/** setsockopt(2) with an int. @returns as setsockopt */
export function setOption(fd: number, level: number, name: number, value: number): number {
  option.words[0] = value
  return setsockopt(fd, level, name, option.address, 4)
}

/** getsockopt(2) of an int. @returns its value, 0 when there is none */
export function getOption(fd: number, level: number, name: number): number {
  option.words[0] = 0
  option.words[1] = 4
  return getsockopt(fd, level, name, option.address, option.address + 4) === 0 ? int32At(option.words, 0) : 0
}

/** The error number that waits on a socket, which this clears; 0: none. */
export function takeError(fd: number): number {
  return getOption(fd, SOL_SOCKET, SO_ERROR)
}

/** Sizes the receive buffer, beyond the system's limit where that is permitted (CAP_NET_ADMIN). */
export function setReceiveBuffer(fd: number, length: number): void {
  if (setOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, length) !== 0) setOption(fd, SOL_SOCKET, SO_RCVBUF, length)
}

/** Sizes the send buffer, beyond the system's limit where that is permitted (CAP_NET_ADMIN). */
export function setSendBuffer(fd: number, length: number): void {
  if (setOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, length) !== 0) setOption(fd, SOL_SOCKET, SO_SNDBUF, length)
}

/** An int32 with its octets in the other order: what network byte order is on x86-64 and arm64. */
export function swap32(value: number): number {
  return (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)
}

/** Makes `block` a sockaddr_in. @param address host byte order, int32 */
export function putInetAddress(block: Block, address: number, port: number): void {
  block.words[0] = AF_INET | ((port & 0xff) << 24) | ((port & 0xff00) << 8)
  block.words[1] = swap32(address)
}

/** `10.77.0.3:36524` of a sockaddr_in. */
export function formatInetAddress(block: Block): string {
  return `${block.bytes.subarray(4, 8).join('.')}:${inetPort(block)}`
}

/** The port of a sockaddr_in. */
export function inetPort(block: Block): number {
  const word = int32At(block.words, 0)
  return (word >>> 24) | ((word >>> 8) & 0xff00)
}
