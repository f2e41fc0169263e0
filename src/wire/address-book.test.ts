import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressBook } from './address-book.ts'
import { put32 } from './bytes.ts'

function octets(number: number): Uint8Array {
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

test('an address has one number, and a number gives its address back', () => {
  const book = new AddressBook()
  const addresses = Array.from({ length: 5000 }, (_, number) => book.intern(octets(number), 0))
  assert.equal(new Set(addresses).size, 5000)
  for (const [number, address] of addresses.entries()) {
    assert.equal(book.intern(octets(number), 0), address)
    assert.equal(book.find(octets(number), 0), address)
    assert.equal(textOf(book, address), octets(number).join('.'))
    assert.equal(book.sum(address), 0x2001 + 0x0db8 + number)
  }
  assert.equal(book.find(octets(5000), 0), 0)
  assert.equal(book.size, 5000)
})

test('a full book takes no more until something is forgotten; what somebody has keeps its number', () => {
  const book = new AddressBook(8)
  const addresses = Array.from({ length: 8 }, (_, number) => book.intern(octets(number), 0))
  assert.equal(book.intern(octets(8), 0), 0)
  const kept = addresses.filter((_, number) => number % 2 === 0)
  book.reclaim((keep) => {
    for (const address of [...kept, ...kept, 0, 0x0a000001]) keep(address)
  })
  assert.equal(book.size, 4)
  for (const address of kept) assert.equal(textOf(book, address), octets(addresses.indexOf(address)).join('.'))
  for (const number of [0, 2, 4, 6]) assert.equal(book.find(octets(number), 0), addresses[number])
  for (const number of [1, 3, 5, 7]) assert.equal(book.find(octets(number), 0), 0)
  const fresh = [8, 9, 10, 11].map((number) => book.intern(octets(number), 0))
  assert.equal(new Set([...kept, ...fresh]).size, 8)
  assert.ok(fresh.every((address) => address > 0))
  assert.equal(book.intern(octets(12), 0), 0)
  // What was free and is free still is not given twice.
  book.reclaim(() => {})
  book.reclaim(() => {})
  assert.equal(book.size, 0)
  assert.equal(new Set(Array.from({ length: 8 }, (_, number) => book.intern(octets(number), 0))).size, 8)
})

test('a snapshot has the same numbers in another book, and is never forgotten', () => {
  const one = new AddressBook()
  const addresses = [7, 3, 9].map((number) => one.intern(octets(number), 0))
  const other = new AddressBook()
  other.takeOver(one.snapshot())
  other.intern(octets(1), 0)
  other.reclaim(() => {})
  assert.deepEqual(
    [7, 3, 9].map((number) => other.find(octets(number), 0)),
    addresses
  )
  assert.equal(other.size, 3)
})

test('an address beyond another carries', () => {
  const book = new AddressBook()
  const first = book.intern(octets(0xffffffff), 0)
  const expected = octets(1)
  put32(expected, 8, 1)
  assert.equal(textOf(book, book.beyond(first, 2)), expected.join('.'))
})
