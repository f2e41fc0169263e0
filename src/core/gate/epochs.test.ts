import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seq } from '../../wire/seq.ts'
import type { AnswerRhythm } from '../target/target-side.ts'
import { type Answering, Asking, Epochs, Release } from './epochs.ts'

/** A connection that has acknowledged everything. */
function targetOf(rhythm: AnswerRhythm): Answering {
  return { rhythm, roundTripMs: 10, sentEnd: seq(9), acknowledgedEnd: seq(9) }
}

const OPTIONS = { isWaiting: true, timeoutMs: 3000 }

test('a target that answers as the source did releases each epoch with its last byte, and never before', () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 1 << 27 }), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(lengths, fc.integer(), (answers, start) => {
      const epochs = new Epochs(OPTIONS)
      epochs.begin(seq(start))
      const response = {
        receivedBytes: 0,
        isPushed: false,
        quietSince: 0,
        waitMs: 0,
        pauseMs: 0,
        isClosed: false,
        arrivedAt: 0
      }
      const ask = (ack: number) => epochs.ask(seq(start + ack), Asking.Request, targetOf(response), 0)
      assert.equal(ask(0), Release.SameEpoch)
      let total = 0
      for (const length of answers) {
        total += length
        response.receivedBytes = total - 1
        assert.equal(ask(total), Release.Closed)
        response.receivedBytes = total
        response.isPushed = true
        assert.equal(ask(total), Release.Answered)
        assert.equal(ask(total), Release.SameEpoch)
        response.isPushed = false
      }
    }),
    { seed: 1 }
  )
})

test('answers that are all slightly shorter or longer do not stall the connection', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -9, max: 9 }), { maxLength: 60 }), (differences) => {
      const epochs = new Epochs(OPTIONS)
      epochs.begin(seq(0))
      const response = {
        receivedBytes: 0,
        isPushed: true,
        quietSince: 0,
        waitMs: 0,
        pauseMs: 0,
        isClosed: false,
        arrivedAt: 0
      }
      let now = 0
      let ack = 0
      for (const difference of differences) {
        ack += 1000
        response.receivedBytes += 1000 + difference
        response.quietSince = now
        let gate = epochs.ask(seq(ack), Asking.Request, targetOf(response), now)
        if (gate === Release.Closed) {
          assert.equal(epochs.lookAgainAt, now + 20)
          now += 20
          gate = epochs.ask(seq(ack), Asking.Request, targetOf(response), now)
        }
        assert.ok(gate === Release.Answered || gate === Release.Quiet)
        assert.equal(gate === Release.Quiet, difference < 0, 'only a shorter answer costs a moment of quiet')
      }
    }),
    { seed: 1 }
  )
})

test('without a captured ACK the first payload tells where answers start', () => {
  const epochs = new Epochs(OPTIONS)
  const response = {
    receivedBytes: 0,
    isPushed: false,
    quietSince: 0,
    waitMs: 0,
    pauseMs: 0,
    isClosed: false,
    arrivedAt: 0
  }
  assert.equal(epochs.ask(seq(500), Asking.Request, targetOf(response), 0), Release.SameEpoch)
  assert.equal(epochs.ask(seq(501), Asking.Request, targetOf(response), 0), Release.Closed)
  assert.equal(epochs.lookAgainAt, 3000)
  assert.equal(epochs.ask(seq(501), Asking.Request, targetOf(response), 3000), Release.TimedOut)
})
