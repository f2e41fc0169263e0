import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { countingCryptography } from '../../sim/network/memory-ports.ts'
import { Negotiation } from './negotiation.ts'

test('proofs are made as docs/channel.md has it: each role its own label, over all that went before', () => {
  const secret = new TextEncoder().encode('correct horse battery staple')
  const octets = Uint8Array.from({ length: 200 }, (_, index) => index)
  const hello = octets.slice(1, 15)
  const acceptance = octets.slice(20, 40)
  const introduction = octets.slice(50, 118)
  const negotiation = new Negotiation(countingCryptography())
  negotiation.hello(octets, 1)
  negotiation.acceptance(octets, 20)
  negotiation.introduction(octets, 50, 36)
  const code = (...parts: (string | Uint8Array)[]): string => {
    const hmac = createHmac('sha256', secret)
    for (const part of parts) hmac.update(part)
    return hmac.digest('hex')
  }
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const ofTcpcopy = negotiation.proofOfTcpcopy(secret)
  assert.equal(hex(ofTcpcopy), code('tcpcopy 2 tcpcopy', hello, acceptance, introduction.slice(0, 36)))
  negotiation.introduction(octets, 50, 68)
  assert.equal(hex(negotiation.proofOfIntercept(secret)), code('tcpcopy 2 intercept', hello, acceptance, introduction))
  assert.deepEqual(hex(negotiation.proofOfTcpcopy(secret)), hex(ofTcpcopy))
  const received = new Uint8Array(40)
  received.set(ofTcpcopy, 3)
  assert.equal(negotiation.isProof(ofTcpcopy, received, 3), true)
  received[34] = (received[34] ?? 0) ^ 1
  assert.equal(negotiation.isProof(ofTcpcopy, received, 3), false)
})
