import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Flow } from '../../wire/flow.ts'
import { Counter, Counters } from '../books/counters.ts'
import { QUESTIONS_MAX, Source } from './source.ts'
import { SourceState } from './source-sockets.ts'

/** Every client is of another port. */
function connection(serial: number) {
  return { capturedAddress: 1 + (serial >> 16), capturedPort: serial & 0xffff, sourceAddress: 2, sourcePort: 80 }
}

/** A source with a kernel, and how often it was asked. */
class Asked {
  count = 0
  readonly counters = new Counters()
  readonly source: Source

  constructor(stateOf: (flow: Flow) => SourceState) {
    const sockets = {
      stateOf: (flow: Flow) => {
        this.count += 1
        return stateOf(flow)
      },
      receivedBytes: 0
    }
    this.source = new Source(sockets, this.counters)
  }
}

test('the kernel is asked at most so often a second, and for more only later', () => {
  const asked = new Asked(() => SourceState.Connected)
  let later = 0
  for (let serial = 0; serial < 10_000; serial++) {
    if (asked.source.stateOf(connection(serial), serial / 10) === SourceState.Later) later += 1
  }
  assert.ok(asked.count <= QUESTIONS_MAX && asked.count > QUESTIONS_MAX * 0.9, `${asked.count} questions`)
  assert.equal(later, 10_000 - asked.count)
  assert.equal(asked.counters.get(Counter.sourceBusy), later)
  assert.equal(asked.source.stateOf(connection(0), 2000), SourceState.Connected)
})

test('the same question about one packet is asked once', () => {
  const asked = new Asked(() => SourceState.Connected)
  const one = connection(7)
  asked.source.stateOf(one, 0)
  asked.source.handshakeOf(one, false, 0)
  assert.equal(asked.count, 1)
  asked.source.stateOf(connection(8), 0)
  asked.source.stateOf(one, 1)
  assert.equal(asked.count, 3)
})

test('handshakes beyond the limit are believed while nearly all are real', () => {
  const asked = new Asked(() => SourceState.Connected)
  let waited = 0
  for (let serial = 0; serial < 10_000; serial++) {
    if (asked.source.handshakeOf(connection(serial), false, serial / 10) === SourceState.Later) waited += 1
  }
  assert.equal(waited, 0)
  assert.ok(asked.count <= QUESTIONS_MAX)
})

test('short connections that were over when the kernel was asked count as real', () => {
  const asked = new Asked(() => SourceState.None)
  let waited = 0
  for (let serial = 0; serial < 10_000; serial++) {
    const state = asked.source.handshakeOf(connection(serial), false, serial / 10)
    if (state === SourceState.None) asked.source.wasReal()
    if (state === SourceState.Later) waited += 1
  }
  assert.equal(waited, 0)
})

test('in a flood, no handshake is believed for lack of questions, and those of real clients are asked about', () => {
  const real = (port: number): boolean => port % 100 === 0
  const asked = new Asked(({ clientPort }) => (real(clientPort) ? SourceState.Connected : SourceState.HalfOpen))
  const { source } = asked
  // Before it, real clients come and go.
  for (let serial = 0; serial < 1000; serial++) source.handshakeOf(connection(100 * serial), false, serial - 1000)
  let believed = 0
  let confirmed = 0
  const clients = 500
  for (let serial = 0; serial < 50_000; serial++) {
    const now = serial / 50
    if (source.handshakeOf(connection(serial * 100 + 1), false, now) === SourceState.Unknown) believed += 1
    // Real clients send a request.
    if (serial % 100 !== 0) continue
    if (source.handshakeOf(connection(serial), true, now) === SourceState.Connected) confirmed += 1
  }
  assert.equal(confirmed, clients)
  assert.equal(believed, 0)
})
