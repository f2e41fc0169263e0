import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressBytes, addressFrom, formatAddress, formatEndpoint, parseAddress } from './address.ts'
import { isIpv6 } from './address-book.ts'

test('addresses are printed as RFC 5952 requires, however they were written', () => {
  const texts = [
    ['2001:0DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['::1', '::1'],
    ['fe80:0:0:0:0:0:0:0', 'fe80::'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['::ffff:192.0.2.33', '192.0.2.33'],
    ['192.0.2.33', '192.0.2.33']
  ]
  for (const [text = '', expected] of texts) assert.equal(formatAddress(parseAddress(text) ?? 0), expected, text)
  assert.equal(formatEndpoint(parseAddress('2001:db8::2') ?? 0, 80), '[2001:db8::2]:80')
})

test('invalid addresses are rejected', () => {
  const texts = ['', ':', ':::', '1::2::3', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1:2:3:4:5:6:7::8', '12345::', 'g::']
  texts.push('::1.2.3', '::1.2.3.256', '1.2.3.4::', '2001:db8::1%eth0', '[::1]', '1.2.3', '1.2.3.4.5', '::1.2.3.4:5')
  for (const text of texts) assert.equal(parseAddress(text), undefined, text)
})

test('a printed address parses to the same address', () => {
  const byte = fc.oneof(fc.constant(0), fc.nat(255))
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.array(byte, { minLength: 16, maxLength: 16 }),
      (...all) => {
        for (const bytes of all) {
          const address = addressFrom(Uint8Array.from(bytes))
          assert.equal(parseAddress(formatAddress(address)), address)
          if (isIpv6(address)) assert.deepEqual(addressBytes(address), Uint8Array.from(bytes))
        }
      }
    ),
    { seed: 1 }
  )
})
