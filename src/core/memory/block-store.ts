/**
 * Blocks of fourteen sizes in one memory. Memory is divided into pages; a page holds blocks of one size and may take
 * another when it is empty again. Taking and giving back cost O(1), and pages never used are never touched.
 */
import { int32At, u8, uint16At } from '../../wire/bytes.ts'

/** Each divides a page; 1536 holds a full Ethernet segment, 15,360 ten of them. */
const SIZES = Uint16Array.of(192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 7680, 10_240, 15_360)
/** The largest block. */
export const BLOCK_MAX = 15_360
export const PAGE = 61_440
const BLOCKS_MAX = 320
/** All sizes are multiples of it. */
const GRAIN = 64
const NONE = -1

/** By length in grains, rounded up: the smallest size that holds it. */
const classOfGrains = Uint8Array.from({ length: BLOCK_MAX / GRAIN + 1 }, (_, grains) =>
  SIZES.findIndex((size) => size >= grains * GRAIN)
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
  readonly #class: Uint8Array
  readonly #usedCount: Int32Array
  /** Of a page: blocks given back, linked by `#nextFree`; those never taken begin at `#fresh`. */
  readonly #free: Int32Array
  readonly #fresh: Int32Array
  readonly #nextFree: Int32Array

  /** @param memoryAt where the pages begin in the memory that addresses mean */
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

  /** @param length 1…BLOCK_MAX octets @returns where the block begins, or −1 if there is no room */
  take(length: number): number {
    let sizeClass = u8(classOfGrains, Math.ceil(length / GRAIN))
    let page = int32At(this.#open, sizeClass)
    if (page === NONE) page = this.#openPage(sizeClass)
    // Without pages, a larger block is better than none.
    while (page === NONE && ++sizeClass < SIZES.length) page = int32At(this.#open, sizeClass)
    if (page === NONE) return NONE
    const size = uint16At(SIZES, sizeClass)
    const used = int32At(this.#usedCount, page) + 1
    this.#usedCount[page] = used
    if (used * size === PAGE) this.#unlink(page, sizeClass)
    this.usedBytes += size
    return this.#memoryAt + page * PAGE + this.#takeBlock(page) * size
  }

  /** Octets that the block has room for. @param at what `take` returned */
  size(at: number): number {
    return uint16At(SIZES, u8(this.#class, Math.floor((at - this.#memoryAt) / PAGE)))
  }

  /** @param at what `take` returned */
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

  /** @returns a page whose blocks are all free, or NONE */
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
