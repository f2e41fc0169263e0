import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { afterAck, isDuplex } from './duplex-watch.ts'

const SEGMENT = 1448

/** A client whose acknowledgments are those of a Linux host: one for every two full segments, and a late one. */
class Client {
  #state = 0
  /** Bytes received since the last acknowledgment. */
  #waiting = 0
  #hasEndedWrite = true

  /** An answer arrives in full segments and a rest. @param isLate its rest is acknowledged before the next request */
  reads(bytes: number, isLate = false): void {
    for (let left = bytes; left > 0; left -= SEGMENT) {
      this.#waiting += Math.min(left, SEGMENT)
      if (this.#waiting >= 2 * SEGMENT) this.#acknowledges()
    }
    if (isLate && this.#waiting > 0) this.#acknowledges()
  }

  get isDuplex(): boolean {
    return isDuplex(this.#state)
  }

  sends(isPushed = true): void {
    this.#takes(this.#hasEndedWrite)
    this.#hasEndedWrite = isPushed
  }

  #acknowledges(): void {
    this.#takes(false)
  }

  #takes(isRequest: boolean): void {
    if (this.#waiting > 0) this.#state = afterAck(this.#state, this.#waiting, isRequest, SEGMENT)
    this.#waiting = 0
  }
}

const answer = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 3000 }) },
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 200_000 }) },
  // Some answers end with a full segment, by chance.
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 20 }).map((count) => count * SEGMENT) }
)

test('request and response stay gated', () => {
  const exchange = fc.record({ bytes: answer, isLate: fc.boolean() })
  fc.assert(
    fc.property(fc.array(exchange, { minLength: 200, maxLength: 400 }), (exchanges) => {
      const client = new Client()
      client.sends()
      for (const { bytes, isLate } of exchanges) {
        client.reads(bytes, isLate)
        client.sends()
      }
      assert.ok(!client.isDuplex)
    }),
    { seed: 1, numRuns: 200 }
  )
})

test('bursts of pipelined requests stay gated, even if they are so long that answers to their first part arrive', () => {
  const burst = fc.record({ segments: fc.integer({ min: 1, max: 30 }), bytes: answer })
  fc.assert(
    fc.property(fc.array(burst, { minLength: 50, maxLength: 100 }), (bursts) => {
      const client = new Client()
      client.sends()
      for (const { segments, bytes } of bursts) {
        for (let segment = 1; segment < segments; segment++) {
          client.sends(false)
          client.reads(3 * SEGMENT)
        }
        client.sends()
        client.reads(bytes)
      }
      assert.ok(!client.isDuplex)
    }),
    { seed: 1, numRuns: 100 }
  )
})

test('short messages in both directions stay gated: they look like requests and answers', () => {
  const client = new Client()
  for (let message = 0; message < 1000; message++) {
    client.reads(1 + (message % 300))
    client.sends()
  }
  assert.ok(!client.isDuplex)
})

test('a client that sends while long answers arrive is detected after eight of them', () => {
  const client = new Client()
  client.sends()
  for (let request = 0; request < 9; request++) {
    assert.ok(!client.isDuplex, `after ${request} requests`)
    client.reads(3 * SEGMENT)
    client.sends()
  }
  client.reads(2 * SEGMENT)
  assert.ok(client.isDuplex)
})

test('it is detected among answers that end', () => {
  const client = new Client()
  for (let round = 0; round < 9; round++) {
    for (let request = 0; request < 3; request++) {
      client.reads(5 * SEGMENT)
      client.sends()
    }
    client.reads(700)
    client.sends()
  }
  assert.ok(client.isDuplex)
})
