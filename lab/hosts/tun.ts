/** A TUN device: a program reads what the kernel routes there, and the kernel receives what the program writes. */
import { closeSync, constants, openSync } from 'node:fs'
import koffi from 'koffi'
import { Errno, errno, errnoMessage, ioctl, read } from '../../src/io/linux/system/libc.ts'
import { allocate } from '../../src/io/linux/system/memory.ts'

/** linux/if_tun.h, linux/if.h. */
const TUNSETIFF = 0x400454ca
const IFF_TUN = 0x0001
const IFF_NO_PI = 0x1000
const INTERFACE_REQUEST_LENGTH = 40
const FLAGS_WORD = 4

/** write(2): descriptor, address, length. */
const write: (fd: number, address: number, length: number) => number = koffi
  .load(null)
  .func('long write(int, uintptr_t, size_t)')

/**
 * The device has no offloads: packets are at most as large as its MTU. It starts in the network namespace of this process,
 * may be moved to another one, and disappears when it is closed or this process ends.
 */
export class Tun {
  readonly descriptor: number

  /** @param name at most 15 characters */
  constructor(name: string) {
    this.descriptor = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK)
    const request = allocate(INTERFACE_REQUEST_LENGTH)
    request.bytes.set(Buffer.from(name, 'latin1'))
    request.words[FLAGS_WORD] = IFF_TUN | IFF_NO_PI
    if (ioctl(this.descriptor, TUNSETIFF, request.address) === 0) return
    const message = errnoMessage(errno())
    closeSync(this.descriptor)
    throw new Error(`Cannot make the TUN device ${name}: ${message}.`)
  }

  /** Reads a packet into memory. @returns its length, 0 if none waits */
  read(address: number, lengthMax: number): number {
    const length = read(this.descriptor, address, lengthMax)
    if (length < 0 && errno() !== Errno.EAGAIN)
      throw new Error(`Cannot read from a TUN device: ${errnoMessage(errno())}.`)
    return Math.max(0, length)
  }

  /** @returns whether the kernel accepted the packet; it does not while the device is down */
  write(address: number, length: number): boolean {
    return write(this.descriptor, address, length) === length
  }

  close(): void {
    closeSync(this.descriptor)
  }
}
