/**
 * Blocks of eight sizes in one memory. Memory is divided into pages; a page holds blocks of one size and may take
 * another when it is empty again. Taking and giving back cost O(1), and pages never used are never touched.
 */
import { int32At, u8 } from '../wire/bytes.ts'

/** Each divides a page; 1536 holds a full Ethernet segment, of which blocks of 2048 would waste a quarter. */
const SIZES = Uint16Array.of(192, 256, 384, 512, 768, 1024, 1536, 2048)
/** The largest block. */
export const BLOCK_MAX = 2048
/** At most 32 blocks: one bit each. */
export const PAGE = 6144
/** All sizes are multiples of it. */
const GRAIN_SHIFT = 6
const NONE = -1

/** By length in grains, rounded up: the smallest size that holds it. */
const classOfGrains = Uint8Array.from({ length: (BLOCK_MAX >>> GRAIN_SHIFT) + 1 }, (_, grains) =>
  SIZES.findIndex((size) => size >= grains << GRAIN_SHIFT)
)

export class BlockStore {
  /** Octets of blocks in use. */
  usedBytes = 0
  readonly #memoryAt: number
  readonly #pagesMax: number
  /** Empty pages that were used before, linked by `#next`; those never used begin at `#untouched`. */
  #emptyPage = NONE
  #untouched = 0
  /** By class: the first page that has a free block. */
  readonly #open = new Int32Array(SIZES.length).fill(NONE)
  readonly #next: Int32Array
  readonly #before: Int32Array
  /** One bit for each free block of a page. */
  readonly #free: Int32Array
  readonly #class: Uint8Array

  /** @param memoryAt where the pages begin in the memory that addresses mean */
  constructor(memoryAt: number, pagesMax: number) {
    this.#memoryAt = memoryAt
    this.#pagesMax = pagesMax
    this.#next = new Int32Array(pagesMax)
    this.#before = new Int32Array(pagesMax)
    this.#free = new Int32Array(pagesMax)
    this.#class = new Uint8Array(pagesMax)
  }

  /** @param length 1…BLOCK_MAX octets @returns where the block begins, or −1 if there is no room */
  take(length: number): number {
    const sizeClass = u8(classOfGrains, (length + 63) >>> GRAIN_SHIFT)
    let page = int32At(this.#open, sizeClass)
    if (page === NONE) {
      page = this.#takePage()
      if (page === NONE) return NONE
      this.#class[page] = sizeClass
      this.#free[page] = allFree(sizeClass)
      this.#link(page, sizeClass)
    }
    const bits = int32At(this.#free, page)
    const index = 31 - Math.clz32(bits & -bits)
    const rest = bits & (bits - 1)
    this.#free[page] = rest
    if (rest === 0) this.#unlink(page, sizeClass)
    const size = sizeOf(sizeClass)
    this.usedBytes += size
    return this.#memoryAt + page * PAGE + index * size
  }

  /** @param at what `take` returned */
  give(at: number): void {
    const offset = at - this.#memoryAt
    const page = Math.floor(offset / PAGE)
    const sizeClass = u8(this.#class, page)
    const size = sizeOf(sizeClass)
    const before = int32At(this.#free, page)
    const bits = before | (1 << ((offset - page * PAGE) / size))
    this.#free[page] = bits
    this.usedBytes -= size
    if (bits === allFree(sizeClass)) {
      if (before !== 0) this.#unlink(page, sizeClass)
      this.#next[page] = this.#emptyPage
      this.#emptyPage = page
    } else if (before === 0) this.#link(page, sizeClass)
  }

  #takePage(): number {
    const page = this.#emptyPage
    if (page === NONE) return this.#untouched === this.#pagesMax ? NONE : this.#untouched++
    this.#emptyPage = int32At(this.#next, page)
    return page
  }

  #link(page: number, sizeClass: number): void {
    const first = int32At(this.#open, sizeClass)
    this.#next[page] = first
    this.#before[page] = NONE
    if (first !== NONE) this.#before[first] = page
    this.#open[sizeClass] = page
  }

  #unlink(page: number, sizeClass: number): void {
    const next = int32At(this.#next, page)
    const before = int32At(this.#before, page)
    if (before === NONE) this.#open[sizeClass] = next
    else this.#next[before] = next
    if (next !== NONE) this.#before[next] = before
  }
}

function sizeOf(sizeClass: number): number {
  return SIZES[sizeClass] ?? BLOCK_MAX
}

/** As many low bits as a page has blocks of this class: up to all 32, which `1 << 32` could not say. */
function allFree(sizeClass: number): number {
  return (-1 >>> (32 - PAGE / sizeOf(sizeClass))) | 0
}
