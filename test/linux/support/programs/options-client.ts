/**
 * A client over IPv6 whose packets have a destination options header, with padding only.
 * options-client.js ADDRESS PORT TEXT: sends the text and prints the first answer
 */

import { INET6_ADDRESS_LENGTH, putInetAddress } from '../../../../src/io/linux/sockets/socket.ts'
import {
  AF_INET6,
  connect,
  errno,
  errnoMessage,
  recv,
  SOCK_STREAM,
  send,
  setsockopt,
  socket
} from '../../../../src/io/linux/system/libc.ts'
import { allocate } from '../../../../src/io/linux/system/memory.ts'
import { parseAddress } from '../../../../src/wire/address.ts'

/** ipv6(7), RFC 3542 §9. */
const IPPROTO_IPV6 = 41
const IPV6_DSTOPTS = 59

const [, , address = '', port, text = ''] = process.argv
const block = allocate(1024)
const fd = socket(AF_INET6, SOCK_STREAM, 0)
// The kernel fills in the next header; then come the length, and padding of six bytes (PadN).
block.bytes.set([0, 0, 1, 4, 0, 0, 0, 0])
if (setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, block.address, 8) !== 0) throw new Error(errnoMessage(errno()))
putInetAddress(block, parseAddress(address) ?? 0, Number(port))
if (connect(fd, block.address, INET6_ADDRESS_LENGTH) !== 0) throw new Error(errnoMessage(errno()))
block.bytes.set(Buffer.from(`${text}\r\n`))
send(fd, block.address, text.length + 2, 0)
console.log(Buffer.from(block.bytes.subarray(0, recv(fd, block.address, 1024, 0))).toString())
