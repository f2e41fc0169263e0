/** Memory that both JavaScript and C see. */
import koffi from 'koffi'
import { errno, errnoMessage, mmap, munmap } from './libc.ts'

const PROT_READ = 1
const PROT_WRITE = 2
const MAP_SHARED = 0x01
const MAP_PRIVATE = 0x02
const MAP_ANONYMOUS = 0x20
const MAP_NORESERVE = 0x4000

/** A range of mapped memory. After `close` nobody may touch `bytes`: the process would end by SIGSEGV. */
export interface Mapping {
  readonly bytes: Uint8Array
  /** Where `bytes[0]` is, for C. */
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
 * Maps `length` octets of zeros. Pages that are never touched cost nothing: neither RSS nor overcommit (mmap(2),
 * MAP_NORESERVE). For pools that are sized for the worst case.
 */
export function mapMemory(length: number): Mapping {
  return map(length, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1)
}

/** Maps `length` octets of what `fd` offers to share, from `offset` on: the rings of packet and XDP sockets. */
export function mapDescriptor(fd: number, length: number, offset = 0): Mapping {
  return map(length, MAP_SHARED, fd, offset)
}

/**
 * Memory of JavaScript that C may use as long as the block is referenced. Nothing has to be closed. Who keeps only
 * `address` has lost the memory at the next collection: keep the block.
 */
export interface Block {
  readonly bytes: Uint8Array
  /** The same octets as int32 in the machine's byte order. */
  readonly words: Int32Array
  readonly address: number
}

/**
 * Allocates zeros that C may read and write. An ArrayBuffer's octets lie outside the collected heap, so they never
 * move; unlike a mapping they outlive a mistake about who uses them last.
 * @param length octets, a multiple of 4
 */
export function allocate(length: number): Block {
  const buffer = new ArrayBuffer(length)
  return { bytes: new Uint8Array(buffer), words: new Int32Array(buffer), address: Number(koffi.address(buffer)) }
}
