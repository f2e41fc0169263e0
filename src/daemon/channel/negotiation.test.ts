import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { countingCryptography } from '../../sim/network/memory-ports.ts'
import { Negotiation } from './negotiation.ts'

test('proofs are as in docs/channel.md: a label for each role, over everything sent before', () => {
  const secret = new TextEncoder().encode('correct horse battery staple')
  const data = Uint8Array.from({ length: 200 }, (_, index) => index)
  const hello = data.slice(1, 15)
  const acceptance = data.slice(20, 40)
  const introduction = data.slice(50, 118)
  const negotiation = new Negotiation(countingCryptography())
  negotiation.hello(data, 1)
  negotiation.acceptance(data, 20)
  negotiation.introduction(data, 50, 36)
  const code = (...parts: (string | Uint8Array)[]): string => {
    const hmac = createHmac('sha256', secret)
    for (const part of parts) hmac.update(part)
    return hmac.digest('hex')
  }
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const ofTcpcopy = negotiation.proofOfTcpcopy(secret)
  assert.equal(hex(ofTcpcopy), code('tcpcopy 2 tcpcopy', hello, acceptance, introduction.slice(0, 36)))
  negotiation.introduction(data, 50, 68)
  assert.equal(hex(negotiation.proofOfIntercept(secret)), code('tcpcopy 2 intercept', hello, acceptance, introduction))
  assert.deepEqual(hex(negotiation.proofOfTcpcopy(secret)), hex(ofTcpcopy))
  const received = new Uint8Array(40)
  received.set(ofTcpcopy, 3)
  assert.equal(negotiation.isProof(ofTcpcopy, received, 3), true)
  received[34] = (received[34] ?? 0) ^ 1
  assert.equal(negotiation.isProof(ofTcpcopy, received, 3), false)
})
