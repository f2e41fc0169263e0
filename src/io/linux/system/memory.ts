/** Memory shared by JavaScript and C. */
import koffi from 'koffi'
import { errno, errnoMessage, mmap, munmap } from './libc.ts'

const PROT_READ = 1
const PROT_WRITE = 2
const MAP_SHARED = 0x01
const MAP_PRIVATE = 0x02
const MAP_ANONYMOUS = 0x20
const MAP_NORESERVE = 0x4000

/** Mapped memory. Do not access `bytes` after `close`: the process would die with SIGSEGV. */
export interface Mapping {
  readonly bytes: Uint8Array
  /** Address of `bytes[0]`, for C. */
  readonly address: number
  close(): void
}

function map(length: number, flags: number, fd: number, offset = 0): Mapping {
  const address = mmap(0, length, PROT_READ | PROT_WRITE, flags, fd, offset)
  if (!Number.isSafeInteger(address)) throw new Error(`cannot map ${length} bytes: ${errnoMessage(errno())}`)
  let isMapped = true
  return {
    bytes: new Uint8Array(koffi.view(address, length)),
    address,
    close() {
      if (isMapped) munmap(address, length)
      isMapped = false
    }
  }
}

/**
 * Maps `length` zeroed bytes. Untouched pages cost neither RSS nor overcommit (mmap(2), MAP_NORESERVE), which suits
 * pools sized for the worst case.
 */
export function mapMemory(length: number): Mapping {
  return map(length, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1)
}

/** Maps `length` bytes that `fd` shares, from `offset` on: the rings of packet and XDP sockets. */
export function mapDescriptor(fd: number, length: number, offset = 0): Mapping {
  return map(length, MAP_SHARED, fd, offset)
}

/**
 * JavaScript memory that C may use as long as the block is referenced. It needs no closing. Keep the block, not only
 * its `address`: otherwise the next collection frees the memory.
 */
export interface Block {
  readonly bytes: Uint8Array
  /** The same bytes as int32 in host byte order. */
  readonly words: Int32Array
  readonly address: number
}

/**
 * Allocates zeroed memory for C. The bytes of an ArrayBuffer lie outside the collected heap, so they never move; unlike
 * a mapping, they survive a mistake about their last use.
 * @param length in bytes, a multiple of 4
 */
export function allocate(length: number): Block {
  const buffer = new ArrayBuffer(length)
  return { bytes: new Uint8Array(buffer), words: new Int32Array(buffer), address: Number(koffi.address(buffer)) }
}
