import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import type { PeerMessage } from '../ports.ts'
import { WorkerExchange } from './worker-exchange.ts'

const LENGTH_MAX = 256

function emptyNote(): PeerMessage {
  return { type: 0, peer: 0, words: new Int32Array(3), length: 0, bytes: new Uint8Array(LENGTH_MAX) }
}

/** A message whose contents follow from its number. */
function fill(message: PeerMessage, number: number): PeerMessage {
  message.type = 1 + (number % 100)
  message.peer = number
  for (let index = 0; index < 3; index++) message.words[index] = number * (index + 3)
  message.length = (number * 37) % (LENGTH_MAX + 1)
  message.bytes.fill(number & 0xff, 0, message.length)
  return message
}

function exchanges(workers: number, wake: (worker: number) => void = () => {}): WorkerExchange[] {
  const memory = WorkerExchange.memory(workers)
  return Array.from({ length: workers }, (_, worker) => new WorkerExchange(memory, worker, workers, wake))
}

test('messages come whole and in the order of their sender, however they are mixed', () => {
  const step = fc.record({ from: fc.nat(2), to: fc.nat(2), count: fc.nat(3000), takes: fc.nat(3000) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const all = exchanges(3)
      const waiting: number[][] = Array.from({ length: 9 }, () => [])
      const [out, taken, expected] = [emptyNote(), emptyNote(), emptyNote()]
      let number = 0
      const take = (to: number): boolean => {
        if (all[to]?.take(taken) !== true) return false
        const from = waiting.findIndex((numbers, pair) => pair % 3 === to && numbers[0] === taken.peer)
        assert.ok(from >= 0, `${taken.peer} was not next`)
        waiting[from]?.shift()
        fill(expected, taken.peer)
        assert.deepEqual(
          [taken.type, taken.words, taken.length, taken.bytes.subarray(0, taken.length)],
          [expected.type, expected.words, expected.length, expected.bytes.subarray(0, expected.length)]
        )
        return true
      }
      for (const { from, to, count, takes } of steps) {
        for (let index = 0; index < count; index++) {
          if (all[from]?.send(to, fill(out, ++number)) !== true) break
          waiting[from * 3 + to]?.push(number)
        }
        for (let index = 0; index < takes && take(to); index++);
      }
      // Messages of a worker whose ring is too full for replies are taken once it has read.
      for (let round = 0; round < 3; round++) for (let to = 0; to < 3; to++) while (take(to));
      assert.deepEqual(waiting.flat(), [])
    }),
    { numRuns: 30 }
  )
})

test('a ring that is full takes nothing, and goes on when it is read; `room` says how full the fullest is', () => {
  const [one, other] = exchanges(2)
  assert.ok(one && other)
  const message = emptyNote()
  const empty = one.room
  let sent = 0
  while (one.send(1, fill(message, sent))) sent += 1
  assert.ok(one.room < LENGTH_MAX + 32, `${one.room}`)
  assert.equal(other.room, empty)
  for (let number = 0; number < sent; number++) {
    assert.ok(other.take(message))
    assert.equal(message.peer, number)
    if (number === 3) assert.ok(one.send(1, fill(message, sent)))
  }
  assert.ok(other.take(message))
  assert.equal(message.peer, sent)
  assert.ok(!other.take(message))
  assert.equal(one.room, empty)
})

test('from whom has left too many answers unread nothing is taken', () => {
  const [one, other] = exchanges(2)
  assert.ok(one && other)
  const message = emptyNote()
  assert.ok(one.send(1, fill(message, 7)))
  while (other.send(0, fill(message, 1)));
  assert.ok(!other.take(message))
  while (one.take(message));
  assert.ok(other.take(message))
  assert.equal(message.peer, 7)
})

test('who was sent something is woken, once', () => {
  const woken: number[] = []
  const [one] = exchanges(3, (worker) => woken.push(worker))
  assert.ok(one)
  const message = emptyNote()
  one.send(2, fill(message, 1))
  one.send(2, fill(message, 2))
  one.flush()
  one.flush()
  assert.deepEqual(woken, [2])
})

test('another thread takes what this one sends, while it is sent', { timeout: 60_000 }, async () => {
  const count = 300_000
  const memory = WorkerExchange.memory(2)
  const script = `
    import { parentPort, workerData } from 'node:worker_threads'
    import { WorkerExchange } from ${JSON.stringify(new URL('./worker-exchange.js', import.meta.url).href)}
    const { memory, count, lengthMax } = workerData
    const exchange = new WorkerExchange(memory, 1, 2, () => {})
    const message = { type: 0, peer: 0, words: new Int32Array(3), length: 0, bytes: new Uint8Array(lengthMax) }
    let wrong = 0
    for (let number = 0; number < count; number++) {
      while (!exchange.take(message));
      if (message.peer !== number || message.words[2] !== number * 5 || message.length !== (number * 37) % (lengthMax + 1)) wrong++
      for (let at = 0; at < message.length; at++) if (message.bytes[at] !== (number & 0xff)) wrong++
    }
    parentPort.postMessage(wrong)`
  const url = new URL(`data:text/javascript,${encodeURIComponent(script)}`)
  const worker = new Worker(url, { workerData: { memory, count, lengthMax: LENGTH_MAX } })
  const wrong = new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  const exchange = new WorkerExchange(memory, 0, 2, () => {})
  const message = emptyNote()
  for (let number = 0; number < count; number++) {
    fill(message, number)
    while (!exchange.send(1, message));
  }
  assert.equal(await wrong, 0)
})
