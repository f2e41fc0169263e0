/**
 * Allocates blocks of fourteen sizes in one memory. Memory is divided into pages; a page holds blocks of one size, and
 * may take another size when it is empty again. Taking and returning a block is O(1). Unused pages are never touched.
 */
import { int32At, u8, uint16At } from '../../wire/bytes.ts'

/** Each size divides a page. 1536 holds a full Ethernet segment, 15,360 ten of them. */
const SIZES = Uint16Array.of(192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 7680, 10_240, 15_360)
/** The largest block. */
export const BLOCK_MAX = 15_360
export const PAGE = 61_440
const BLOCKS_MAX = 320
/** All sizes are multiples of this. */
const GRAIN = 64
const NONE = -1

/** Index into `SIZES` of the smallest size that holds a length, by the length in grains, rounded up. */
const classOfGrains = Uint8Array.from({ length: BLOCK_MAX / GRAIN + 1 }, (_, grains) =>
  SIZES.findIndex((size) => size >= grains * GRAIN)
)

export class BlockStore {
  /** Bytes of blocks in use. */
  usedBytes = 0
  readonly #memoryAt: number
  readonly #pagesMax: number
  /** Empty pages that were in use before, linked by `#next`. Pages from `#untouched` on were never used. */
  #emptyPage = NONE
  #untouched = 0
  /** By size class: the first page with a free block. */
  readonly #open = new Int32Array(SIZES.length).fill(NONE)
  readonly #next: Int32Array
  readonly #before: Int32Array
  readonly #class: Uint8Array
  readonly #usedCount: Int32Array
  /** By page: returned blocks, linked by `#nextFree`. Blocks from `#fresh` on were never used. */
  readonly #free: Int32Array
  readonly #fresh: Int32Array
  readonly #nextFree: Int32Array

  /** @param memoryAt offset of the first page; blocks are offsets in the same memory */
  constructor(memoryAt: number, pagesMax: number) {
    this.#memoryAt = memoryAt
    this.#pagesMax = pagesMax
    this.#next = new Int32Array(pagesMax)
    this.#before = new Int32Array(pagesMax)
    this.#class = new Uint8Array(pagesMax)
    this.#usedCount = new Int32Array(pagesMax)
    this.#free = new Int32Array(pagesMax)
    this.#fresh = new Int32Array(pagesMax)
    this.#nextFree = new Int32Array(pagesMax * BLOCKS_MAX)
  }

  /** @param length 1 to BLOCK_MAX bytes @returns where the block begins, or −1 if none is free */
  take(length: number): number {
    let sizeClass = u8(classOfGrains, Math.ceil(length / GRAIN))
    let page = int32At(this.#open, sizeClass)
    if (page === NONE) page = this.#openPage(sizeClass)
    // Without empty pages, a larger block is better than none.
    while (page === NONE && ++sizeClass < SIZES.length) page = int32At(this.#open, sizeClass)
    if (page === NONE) return NONE
    const size = uint16At(SIZES, sizeClass)
    const used = int32At(this.#usedCount, page) + 1
    this.#usedCount[page] = used
    if (used * size === PAGE) this.#unlink(page, sizeClass)
    this.usedBytes += size
    return this.#memoryAt + page * PAGE + this.#takeBlock(page) * size
  }

  /** The size of a block in bytes. @param at result of `take` */
  size(at: number): number {
    return uint16At(SIZES, u8(this.#class, Math.floor((at - this.#memoryAt) / PAGE)))
  }

  /** Returns a block. @param at result of `take` */
  give(at: number): void {
    const offset = at - this.#memoryAt
    const page = Math.floor(offset / PAGE)
    const sizeClass = u8(this.#class, page)
    const size = uint16At(SIZES, sizeClass)
    const block = (offset - page * PAGE) / size
    this.#nextFree[page * BLOCKS_MAX + block] = int32At(this.#free, page)
    this.#free[page] = block
    const used = int32At(this.#usedCount, page)
    this.#usedCount[page] = used - 1
    this.usedBytes -= size
    if (used * size === PAGE) this.#link(page, sizeClass)
    if (used > 1) return
    this.#unlink(page, sizeClass)
    this.#next[page] = this.#emptyPage
    this.#emptyPage = page
  }

  /** Prepares an empty page for a size class. @returns the page, or NONE */
  #openPage(sizeClass: number): number {
    const page = this.#takePage()
    if (page === NONE) return NONE
    this.#class[page] = sizeClass
    this.#free[page] = NONE
    this.#fresh[page] = 0
    this.#link(page, sizeClass)
    return page
  }

  #takePage(): number {
    const page = this.#emptyPage
    if (page === NONE) return this.#untouched === this.#pagesMax ? NONE : this.#untouched++
    this.#emptyPage = int32At(this.#next, page)
    return page
  }

  #takeBlock(page: number): number {
    const block = int32At(this.#free, page)
    if (block !== NONE) {
      this.#free[page] = int32At(this.#nextFree, page * BLOCKS_MAX + block)
      return block
    }
    const fresh = int32At(this.#fresh, page)
    this.#fresh[page] = fresh + 1
    return fresh
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
