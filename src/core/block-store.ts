/**
 * Blocks of five sizes in one memory. Memory is divided into pages; a page holds blocks of one size and may take
 * another when it is empty again. Taking and giving back cost O(1), and pages never used are never touched.
 */
import { int32At } from '../wire/bytes.ts'

/** The largest block, and the size of a page. */
export const PAGE = 2048
const SMALLEST_SHIFT = 7 // 128 octets: a page has at most 16 blocks, one bit each
const CLASSES = 5
const NONE = -1

export class BlockStore {
  /** Octets of blocks in use. */
  usedBytes = 0
  readonly #memoryAt: number
  readonly #pagesMax: number
  /** Empty pages that were used before, linked by `#next`; those never used begin at `#untouched`. */
  #emptyPage = NONE
  #untouched = 0
  /** By class: the first page that has a free block. */
  readonly #open = new Int32Array(CLASSES).fill(NONE)
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

  /** @param length 1…PAGE octets @returns where the block begins, or −1 if there is no room */
  take(length: number): number {
    const sizeClass = classOf(length)
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
    this.usedBytes += 1 << (SMALLEST_SHIFT + sizeClass)
    return this.#memoryAt + page * PAGE + (index << (SMALLEST_SHIFT + sizeClass))
  }

  /** @param at what `take` returned */
  give(at: number): void {
    const offset = at - this.#memoryAt
    const page = Math.floor(offset / PAGE)
    const sizeClass = this.#class[page] ?? 0
    const index = (offset % PAGE) >> (SMALLEST_SHIFT + sizeClass)
    const before = int32At(this.#free, page)
    const bits = before | (1 << index)
    this.#free[page] = bits
    this.usedBytes -= 1 << (SMALLEST_SHIFT + sizeClass)
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

/** 0 for up to 128 octets, 4 for up to 2048. */
function classOf(length: number): number {
  return Math.max(0, 32 - Math.clz32(length - 1) - SMALLEST_SHIFT)
}

function allFree(sizeClass: number): number {
  return (1 << (PAGE >> (SMALLEST_SHIFT + sizeClass))) - 1
}
