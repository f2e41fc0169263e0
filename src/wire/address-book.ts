/**
 * The address book gives each IPv6 address a number, so that all tables, sessions and routes hold an address as int32.
 *
 * An IPv4 address is its own int32. An IPv6 address is its number in the book, from 1 to 0xffffff; as IPv4 addresses
 * these numbers lie in 0.0.0.0/8, which no host has (RFC 1122 §3.2.1.3), so one table serves both versions. 0 means no
 * address, or any.
 *
 * Each thread has one book. The main thread enters the addresses of the plan, and the worker's book takes them over
 * with the same numbers and keeps them. `reclaim` removes addresses that came from packets and are no longer in use.
 */
import { copyBytes, i32, int32At, u8, u16 } from './bytes.ts'

const LENGTH = 16
/** Limit of addresses. A full book takes 64 MB: the addresses, their sums and the index. */
const ADDRESSES_MAX = 1 << 21
/** A book with fewer addresses than this removes none. */
const RECLAIM_FROM = 4096

/** Calls `keep` for each address that is still in use. IPv4 addresses are allowed and have no effect. */
export type AddressOwner = (keep: (address: number) => void) => void

export class AddressBook {
  readonly #sizeMax: number
  /** By number, 16 bytes each, in network byte order. */
  #bytes = new Uint8Array(LENGTH * 64)
  /** By number: the sum of the address's eight 16-bit words, for checksums. */
  #sums = new Int32Array(64)
  /** A hash table with linear probing. Each slot holds a number, or 0 if it is empty. */
  #index = new Int32Array(128)
  #free: number[] = []
  /** The lowest number that was never assigned. */
  #end = 1
  /** Numbers below this are never removed. */
  #pinnedEnd = 1
  #reclaimAt = RECLAIM_FROM
  /** Addresses in the book. */
  size = 0

  constructor(sizeMax: number = ADDRESSES_MAX) {
    this.#sizeMax = sizeMax
  }

  /** Adds the address of 16 bytes at `at` unless the book has it. @returns its number; 0: the book is full */
  intern(bytes: Uint8Array, at: number): number {
    const place = this.#find(bytes, at)
    const found = int32At(this.#index, place)
    if (found !== 0) return found
    if (this.size >= this.#sizeMax) return 0
    const address = this.#free.pop() ?? this.#end++
    if (address >= this.#sums.length) this.#grow()
    copyBytes(bytes, at, this.#bytes, address * LENGTH, LENGTH)
    let sum = 0
    for (let word = 0; word < LENGTH; word += 2) sum += u16(bytes, at + word)
    this.#sums[address] = sum
    this.#index[place] = address
    this.size += 1
    if (this.size * 2 > this.#index.length) this.#rebuild(this.#index.length * 2)
    return address
  }

  /** @returns the number of the address of 16 bytes at `at`; 0: it is not in the book */
  find(bytes: Uint8Array, at: number): number {
    return int32At(this.#index, this.#find(bytes, at))
  }

  /** Writes the 16 bytes of an address. */
  put(address: number, bytes: Uint8Array, at: number): void {
    copyBytes(this.#bytes, address * LENGTH, bytes, at, LENGTH)
  }

  /** The sum of the address's 16-bit words, not folded. */
  sum(address: number): number {
    return int32At(this.#sums, address)
  }

  /** A hash of the address itself, so it is the same in all threads although the numbers differ. */
  hash(address: number): number {
    return hash(this.#bytes, address * LENGTH)
  }

  /** @param offset below 2³² @returns the number of the address plus `offset`; 0: the book is full */
  beyond(address: number, offset: number): number {
    const bytes = this.#bytes.slice(address * LENGTH, (address + 1) * LENGTH)
    let carry = offset
    for (let at = LENGTH - 1; at >= 0 && carry > 0; at--) {
      carry += u8(bytes, at)
      bytes[at] = carry
      carry = Math.floor(carry / 256)
    }
    return this.intern(bytes, 0)
  }

  /** All addresses in the order of their numbers, for another thread's book. Only before the first `reclaim`. */
  snapshot(): Uint8Array {
    return this.#bytes.slice(LENGTH, this.#end * LENGTH)
  }

  /** Adds the addresses of a snapshot for good. The book must be empty, or hold the same addresses already. */
  takeOver(snapshot: Uint8Array): void {
    for (let at = 0; at < snapshot.length; at += LENGTH) this.intern(snapshot, at)
    this.#pinnedEnd = Math.max(this.#pinnedEnd, snapshot.length / LENGTH + 1)
  }

  /** True once the book has twice as many addresses as the last `reclaim` left. */
  get isReclaimDue(): boolean {
    return this.size >= this.#reclaimAt
  }

  /** Removes all addresses that are not in use. Only between turns: no packet may be in progress. */
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
    this.#reclaimAt = Math.min(Math.max(RECLAIM_FROM, this.size * 2), this.#sizeMax)
    this.#index.fill(0)
    for (let address = 1; address < this.#end; address++) if (u8(isKept, address) === 1) this.#enter(address)
  }

  /** @returns the index slot of the address of 16 bytes at `at`, or the empty slot where it belongs */
  #find(bytes: Uint8Array, at: number): number {
    const mask = this.#index.length - 1
    let place = hash(bytes, at) & mask
    for (;;) {
      const address = int32At(this.#index, place)
      if (address === 0 || isSame(this.#bytes, address * LENGTH, bytes, at)) return place
      place = (place + 1) & mask
    }
  }

  #enter(address: number): void {
    this.#index[this.#find(this.#bytes, address * LENGTH)] = address
  }

  #rebuild(length: number): void {
    const before = this.#index
    this.#index = new Int32Array(length)
    for (const address of before) if (address !== 0) this.#enter(address)
  }

  #grow(): void {
    const bytes = new Uint8Array(this.#bytes.length * 2)
    bytes.set(this.#bytes)
    this.#bytes = bytes
    const sums = new Int32Array(this.#sums.length * 2)
    sums.set(this.#sums)
    this.#sums = sums
  }
}

/** The address book of this thread. */
export const addressBook = new AddressBook()

/** Whether an address is IPv6; false for 0, which is no address. */
export function isIpv6(address: number): boolean {
  return address >>> 24 === 0 && address !== 0
}

function isSame(one: Uint8Array, oneAt: number, other: Uint8Array, otherAt: number): boolean {
  for (let word = 0; word < LENGTH; word += 4) if (i32(one, oneAt + word) !== i32(other, otherAt + word)) return false
  return true
}

/** Hashes an address to 32 bits, in the way of the finalizer of MurmurHash3. */
function hash(bytes: Uint8Array, at: number): number {
  let bits = 0
  for (let word = 0; word < LENGTH; word += 4) {
    bits = Math.imul(bits ^ i32(bytes, at + word), 0x85ebca6b)
    bits ^= bits >>> 15
  }
  bits = Math.imul(bits, 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
