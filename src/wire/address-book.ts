/**
 * IPv6 addresses as numbers. Tables, sessions and routes know addresses as int32: an IPv4 address is itself, and an IPv6
 * address is its number in this book, from 1 up to 0xffffff. As an IPv4 address such a number would be of 0.0.0.0/8, which
 * no host has (RFC 1122 §3.2.1.3), so that both kinds live in one table. 0 is no address, or any.
 *
 * There is one book in each thread, as there is one table of symbols in a language. What a plan names is put in by the
 * main thread and taken over by the worker's book under the same numbers; that is never forgotten. Of what packets bring
 * `reclaim` forgets what nobody has any more.
 */
import { copyBytes, i32, int32At, u8, u16 } from './bytes.ts'

const LENGTH = 16
/** Most addresses at once: their octets, sums and the index take 64 MB then. */
const ADDRESSES_MAX = 1 << 21
/** With fewer than this nothing is forgotten. */
const RECLAIM_FROM = 4096

/** Gives each address that somebody still has to `keep`; those of IPv4 are passed over there. */
export type AddressOwner = (keep: (address: number) => void) => void

export class AddressBook {
  readonly #most: number
  /** By number, 16 each. */
  #octets = new Uint8Array(LENGTH * 64)
  /** By number: the sum of its eight words, for checksums. */
  #sums = new Int32Array(64)
  /** Open addressing: a number, or 0. */
  #index = new Int32Array(128)
  #free: number[] = []
  /** The first number that was never given. */
  #end = 1
  /** Those below stay. */
  #pinnedEnd = 1
  #reclaimAt = RECLAIM_FROM
  /** Addresses in it. */
  size = 0

  /** @param most addresses at once */
  constructor(most: number = ADDRESSES_MAX) {
    this.#most = most
  }

  /** @returns the number of the 16 octets from `at`, which are put in if they are new; 0: there is no room */
  intern(bytes: Uint8Array, at: number): number {
    const place = this.#find(bytes, at)
    const found = int32At(this.#index, place)
    if (found !== 0) return found
    if (this.size >= this.#most) return 0
    const address = this.#free.pop() ?? this.#end++
    if (address >= this.#sums.length) this.#grow()
    copyBytes(bytes, at, this.#octets, address * LENGTH, LENGTH)
    let sum = 0
    for (let word = 0; word < LENGTH; word += 2) sum += u16(bytes, at + word)
    this.#sums[address] = sum
    this.#index[place] = address
    this.size += 1
    if (this.size * 2 > this.#index.length) this.#rebuild(this.#index.length * 2)
    return address
  }

  /** @returns the number of the 16 octets from `at`; 0: nobody has put them in */
  find(bytes: Uint8Array, at: number): number {
    return int32At(this.#index, this.#find(bytes, at))
  }

  /** Writes the 16 octets of an address. */
  put(address: number, bytes: Uint8Array, at: number): void {
    copyBytes(this.#octets, address * LENGTH, bytes, at, LENGTH)
  }

  /** The sum of an address's 16-bit words, not folded. */
  sum(address: number): number {
    return int32At(this.#sums, address)
  }

  /** The same for an address in every book, whatever its number. */
  hash(address: number): number {
    return hash(this.#octets, address * LENGTH)
  }

  /** @returns the address that is `offset`, below 2³², beyond another; 0: there is no room */
  beyond(address: number, offset: number): number {
    const octets = this.#octets.slice(address * LENGTH, (address + 1) * LENGTH)
    let carry = offset
    for (let at = LENGTH - 1; at >= 0 && carry > 0; at--) {
      carry += u8(octets, at)
      octets[at] = carry
      carry = Math.floor(carry / 256)
    }
    return this.intern(octets, 0)
  }

  /** All that was put in so far, in the order of the numbers, for another thread's book. Nothing may be forgotten yet. */
  snapshot(): Uint8Array {
    return this.#octets.slice(LENGTH, this.#end * LENGTH)
  }

  /** Takes over a snapshot, whose addresses stay for ever. The book has to be empty, or to have the same in it. */
  takeOver(snapshot: Uint8Array): void {
    for (let at = 0; at < snapshot.length; at += LENGTH) this.intern(snapshot, at)
    this.#pinnedEnd = Math.max(this.#pinnedEnd, snapshot.length / LENGTH + 1)
  }

  /** Whether it is time to look what can be forgotten: there are twice as many as were left the last time. */
  get isReclaimDue(): boolean {
    return this.size >= this.#reclaimAt
  }

  /** Forgets all addresses that nobody has. Between turns only: no packet may be in hand. */
  reclaim(owner: AddressOwner): void {
    const isKept = new Uint8Array(this.#end)
    isKept.fill(1, 0, this.#pinnedEnd)
    owner((address) => {
      if (isIpv6(address) && address < isKept.length) isKept[address] = 1
    })
    for (const address of this.#free) isKept[address] = 0
    this.#free = []
    for (let address = 1; address < this.#end; address++) if (u8(isKept, address) === 0) this.#free.push(address)
    this.size = this.#end - 1 - this.#free.length
    this.#reclaimAt = Math.min(Math.max(RECLAIM_FROM, this.size * 2), this.#most)
    this.#index.fill(0)
    for (let address = 1; address < this.#end; address++) if (u8(isKept, address) === 1) this.#enter(address)
  }

  /** The place in the index of 16 octets, or the empty one where they belong. */
  #find(bytes: Uint8Array, at: number): number {
    const mask = this.#index.length - 1
    let place = hash(bytes, at) & mask
    for (;;) {
      const address = int32At(this.#index, place)
      if (address === 0 || isSame(this.#octets, address * LENGTH, bytes, at)) return place
      place = (place + 1) & mask
    }
  }

  #enter(address: number): void {
    this.#index[this.#find(this.#octets, address * LENGTH)] = address
  }

  #rebuild(length: number): void {
    const before = this.#index
    this.#index = new Int32Array(length)
    for (const address of before) if (address !== 0) this.#enter(address)
  }

  #grow(): void {
    const octets = new Uint8Array(this.#octets.length * 2)
    octets.set(this.#octets)
    this.#octets = octets
    const sums = new Int32Array(this.#sums.length * 2)
    sums.set(this.#sums)
    this.#sums = sums
  }
}

/** This thread's. */
export const addressBook = new AddressBook()

/** Whether an address is of IPv6. Of 0, which is none, it is not. */
export function isIpv6(address: number): boolean {
  return address >>> 24 === 0 && address !== 0
}

function isSame(one: Uint8Array, oneAt: number, other: Uint8Array, otherAt: number): boolean {
  for (let word = 0; word < LENGTH; word += 4) if (i32(one, oneAt + word) !== i32(other, otherAt + word)) return false
  return true
}

/** Spreads the bits of an address over 32 (the finalizer of MurmurHash3). */
function hash(bytes: Uint8Array, at: number): number {
  let bits = 0
  for (let word = 0; word < LENGTH; word += 4) {
    bits = Math.imul(bits ^ i32(bytes, at + word), 0x85ebca6b)
    bits ^= bits >>> 15
  }
  bits = Math.imul(bits, 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
