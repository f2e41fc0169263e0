/**
 * The Internet checksum (RFC 1071). Sums stay unfolded in a number; `fold` reduces them to 16 bits at the end.
 *
 * Long ranges that begin at a multiple of four are read in 32-bit words, which takes a third of the time (0.5 µs
 * instead of 1.5 µs to copy and sum 1448 bytes). A sum of words in host byte order is the sum in network byte order
 * with its two bytes swapped (RFC 1071 §2(B)).
 */
import { addressBook, isIpv6 } from './address-book.ts'
import { int32At, u8, u16 } from './bytes.ts'

/** For fewer bytes than this, the word loop is not faster. */
const WORDS_FROM = 64
/** The sum of this many bytes as 16-bit words stays below 2³¹. */
const SUMMED_MAX = 0x10000
const isLittleEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1

/** The last array that was used, as 32-bit words. Callers use few arrays, so a new view is rarely created. */
class WordView {
  #bytes: Uint8Array | undefined
  #words: Int32Array = new Int32Array(0)

  of(bytes: Uint8Array): Int32Array {
    if (bytes === this.#bytes) return this.#words
    this.#bytes = bytes
    const isAligned = bytes.byteOffset % 4 === 0
    this.#words = isAligned ? new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2) : new Int32Array(0)
    return this.#words
  }
}
const readWords = new WordView()
const writeWords = new WordView()

/** The ones' complement sum of 16-bit words, not folded. An odd last byte counts as the high half of a word. */
export function sum(bytes: Uint8Array, at: number, length: number): number {
  if (length < WORDS_FROM || at % 4 !== 0) return sumBytes(bytes, at, length)
  const words = readWords.of(bytes)
  if (words.length === 0) return sumBytes(bytes, at, length)
  if (length > SUMMED_MAX) return sum(bytes, at, SUMMED_MAX) + sum(bytes, at + SUMMED_MAX, length - SUMMED_MAX)
  const wordCount = length >> 2
  const done = wordCount * 4
  return inNetworkOrder(sumWords(words, at >> 2, wordCount)) + sumBytes(bytes, at + done, length - done)
}

/**
 * The sum of the 16-bit halves of words in host byte order; it must fit into an int32. Four words for each iteration
 * take 0.26 µs instead of 0.43 µs for 1448 bytes.
 */
function sumWords(words: Int32Array, from: number, count: number): number {
  let total = 0
  let index = from
  for (const end = from + (count & ~3); index < end; index += 4) {
    const a = int32At(words, index)
    const b = int32At(words, index + 1)
    const c = int32At(words, index + 2)
    const d = int32At(words, index + 3)
    const low = (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff)
    total = (total + low + (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16)) | 0
  }
  for (const end = from + count; index < end; index++) {
    const word = int32At(words, index)
    total = (total + (word & 0xffff) + (word >>> 16)) | 0
  }
  return total
}

function sumBytes(bytes: Uint8Array, at: number, length: number): number {
  let total = 0
  const end = at + (length & ~1)
  for (let index = at; index < end; index += 2) total += u16(bytes, index)
  return length & 1 ? total + (u8(bytes, end) << 8) : total
}

function inNetworkOrder(total: number): number {
  const folded = fold(total)
  return isLittleEndian ? ((folded & 0xff) << 8) | (folded >>> 8) : folded
}

/** Folds a sum to 16 bits. @param total below 2³²: the sum of 64 KB and a few headers is @returns 0 to 0xffff */
export function fold(total: number): number {
  const once = (total >>> 16) + (total & 0xffff)
  return (once >>> 16) + (once & 0xffff)
}

/**
 * Copies and sums in one pass.
 * @returns the sum of the copied bytes as 16-bit words, not folded
 */
export function copyAndSum(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): number {
  if (length < WORDS_FROM || (fromAt | toAt) % 4 !== 0) return copyAndSumBytes(from, fromAt, to, toAt, length)
  const source = readWords.of(from)
  const sink = writeWords.of(to)
  if (source.length === 0 || sink.length === 0) return copyAndSumBytes(from, fromAt, to, toAt, length)
  const wordCount = length >> 2
  const offset = (toAt >> 2) - (fromAt >> 2)
  const end = (fromAt >> 2) + wordCount
  let total = 0
  for (let index = fromAt >> 2; index < end; index++) {
    const word = int32At(source, index)
    sink[index + offset] = word
    total += (word & 0xffff) + (word >>> 16)
  }
  const done = wordCount * 4
  return inNetworkOrder(total) + copyAndSumBytes(from, fromAt + done, to, toAt + done, length - done)
}

function copyAndSumBytes(from: Uint8Array, fromAt: number, to: Uint8Array, toAt: number, length: number): number {
  let total = 0
  const even = length & ~1
  for (let index = 0; index < even; index += 2) {
    const high = u8(from, fromAt + index)
    const low = u8(from, fromAt + index + 1)
    to[toAt + index] = high
    to[toAt + index + 1] = low
    total += (high << 8) | low
  }
  if (length & 1) {
    const last = u8(from, fromAt + even)
    to[toAt + even] = last
    total += last << 8
  }
  return total
}

/** The sum of the pseudo-header (RFC 9293 §3.1, RFC 8200 §8.1), not folded. Addresses are int32. */
export function pseudoHeaderSum(fromAddress: number, toAddress: number, protocol: number, length: number): number {
  return addressSum(fromAddress) + addressSum(toAddress) + protocol + (length >>> 16) + (length & 0xffff)
}

function addressSum(address: number): number {
  return isIpv6(address) ? addressBook.sum(address) : (address >>> 16) + (address & 0xffff)
}
