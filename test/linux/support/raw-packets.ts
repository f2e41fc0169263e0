/** Packets that tests write byte by byte. */
import assert from 'node:assert/strict'
import { deviceIndex } from '../../../src/io/linux/netlink/devices.ts'
import { AF_PACKET, bind, close, SOCK_RAW, send, socket } from '../../../src/io/linux/system/libc.ts'
import { allocate } from '../../../src/io/linux/system/memory.ts'
import { put16, put32 } from '../../../src/wire/bytes.ts'

const FRAME_MAX = 1 << 16
const TTL = 64
const TCP = 6

/** Writes an IPv4 header of 20 bytes for TCP. The kernel adds its length and checksum. */
export function putIpv4Header(bytes: Uint8Array, at: number, from: number, to: number, id = 0, fragment = 0): void {
  bytes[at] = 0x45
  put16(bytes, at + 4, id)
  put16(bytes, at + 6, fragment)
  bytes[at + 8] = TTL
  bytes[at + 9] = TCP
  put32(bytes, at + 12, from)
  put32(bytes, at + 16, to)
}

/** A packet socket that sends frames as they are. */
export class FrameSender {
  readonly #fd = socket(AF_PACKET, SOCK_RAW, 0)
  readonly #output = allocate(FRAME_MAX)

  constructor(device: string) {
    const address = allocate(20)
    address.words[0] = AF_PACKET
    address.words[1] = deviceIndex(device)
    assert.equal(bind(this.#fd, address.address, 20), 0, `cannot send to ${device}`)
  }

  /** @returns whether the kernel took the whole frame */
  send(frame: Uint8Array): boolean {
    this.#output.bytes.set(frame)
    return send(this.#fd, this.#output.address, frame.length, 0) === frame.length
  }

  [Symbol.dispose](): void {
    close(this.#fd)
  }
}
