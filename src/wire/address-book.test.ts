import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressBook } from './address-book.ts'
import { put32 } from './bytes.ts'

function bytesOf(number: number): Uint8Array {
  const bytes = new Uint8Array(16)
  put32(bytes, 0, 0x20010db8)
  put32(bytes, 12, number)
  return bytes
}

function textOf(book: AddressBook, address: number): string {
  const bytes = new Uint8Array(16)
  book.put(address, bytes, 0)
  return bytes.join('.')
}

test('an address has one number, and the number gives the address', () => {
  const book = new AddressBook()
  const addresses = Array.from({ length: 5000 }, (_, number) => book.intern(bytesOf(number), 0))
  assert.equal(new Set(addresses).size, 5000)
  for (const [number, address] of addresses.entries()) {
    assert.equal(book.intern(bytesOf(number), 0), address)
    assert.equal(book.find(bytesOf(number), 0), address)
    assert.equal(textOf(book, address), bytesOf(number).join('.'))
    assert.equal(book.sum(address), 0x2001 + 0x0db8 + number)
  }
  assert.equal(book.find(bytesOf(5000), 0), 0)
  assert.equal(book.size, 5000)
})

test('a full book accepts no address until one is forgotten; addresses in use keep their numbers', () => {
  const book = new AddressBook(8)
  const addresses = Array.from({ length: 8 }, (_, number) => book.intern(bytesOf(number), 0))
  assert.equal(book.intern(bytesOf(8), 0), 0)
  const kept = addresses.filter((_, number) => number % 2 === 0)
  book.reclaim((keep) => {
    for (const address of [...kept, ...kept, 0, 0x0a000001]) keep(address)
  })
  assert.equal(book.size, 4)
  for (const address of kept) assert.equal(textOf(book, address), bytesOf(addresses.indexOf(address)).join('.'))
  for (const number of [0, 2, 4, 6]) assert.equal(book.find(bytesOf(number), 0), addresses[number])
  for (const number of [1, 3, 5, 7]) assert.equal(book.find(bytesOf(number), 0), 0)
  const fresh = [8, 9, 10, 11].map((number) => book.intern(bytesOf(number), 0))
  assert.equal(new Set([...kept, ...fresh]).size, 8)
  assert.ok(fresh.every((address) => address > 0))
  assert.equal(book.intern(bytesOf(12), 0), 0)
  // A number that stayed free is not given out twice.
  book.reclaim(() => {})
  book.reclaim(() => {})
  assert.equal(book.size, 0)
  assert.equal(new Set(Array.from({ length: 8 }, (_, number) => book.intern(bytesOf(number), 0))).size, 8)
})

test('a snapshot gives the same numbers in another book, and its addresses are never forgotten', () => {
  const one = new AddressBook()
  const addresses = [7, 3, 9].map((number) => one.intern(bytesOf(number), 0))
  const other = new AddressBook()
  other.takeOver(one.snapshot())
  other.intern(bytesOf(1), 0)
  other.reclaim(() => {})
  assert.deepEqual(
    [7, 3, 9].map((number) => other.find(bytesOf(number), 0)),
    addresses
  )
  assert.equal(other.size, 3)
})

test('adding to an address carries into its higher bytes', () => {
  const book = new AddressBook()
  const first = book.intern(bytesOf(0xffffffff), 0)
  const expected = bytesOf(1)
  put32(expected, 8, 1)
  assert.equal(textOf(book, book.beyond(first, 2)), expected.join('.'))
})
