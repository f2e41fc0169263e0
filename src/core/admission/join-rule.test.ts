import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Flow } from '../../wire/flow.ts'
import { ACK, PSH, Segment } from '../../wire/segment.ts'
import { seq } from '../../wire/seq.ts'
import { JoinRule } from './join-rule.ts'

function said(text: string, sequence: number, ack: number): Segment {
  const bytes = Buffer.from(text)
  const fields = { bytes, payloadAt: 0, payloadLength: bytes.length, flags: ACK | PSH, fromPort: 40_000, toPort: 80 }
  return Object.assign(new Segment(), fields, { seq: seq(sequence), ack: seq(ack) })
}

test('with --join line, a request may follow every line', () => {
  for (const at of ['line', 'answered'] as const) {
    const rule = new JoinRule(at)
    assert.equal(rule.begins(said('one\n', 100, 1), 0), false)
    assert.equal(rule.begins(said('two', 104, 1), 0), at === 'line')
  }
  const rule = new JoinRule('line')
  assert.equal(rule.begins(said('one', 100, 1), 0), false)
  assert.equal(rule.begins(said('two', 103, 1), 0), false, 'in the middle of a line')
})

/** Three requests, each after an answer; the next may begin a copy. @returns whether one of them did */
function takesTurns(rule: JoinRule, from: number, everyMs = 50): boolean {
  return [0, 1, 2].some((turn) => rule.begins(said('one', from + 3 * turn, 1 + turn), turn * everyMs))
}

test('a client that takes turns with its server is joined at its fourth request', () => {
  const rule = new JoinRule('answered')
  assert.equal(takesTurns(rule, 100), false)
  assert.equal(rule.begins(said('two', 109, 4), 150), true)
})

test('a request in several writes at once is one turn', () => {
  const rule = new JoinRule('answered')
  for (let turn = 0; turn < 3; turn++) {
    assert.equal(rule.begins(said('head', 100 + 8 * turn, turn), turn * 50), false)
    assert.equal(rule.begins(said('body', 104 + 8 * turn, turn), turn * 50 + 1), false)
  }
  assert.equal(rule.begins(said('head', 124, 3), 150), true)
})

test('a client that pauses within a request is not joined there, although pushes arrive', () => {
  const rule = new JoinRule('answered')
  const pushedBefore = [1, 2, 0, 3, 4, 0, 5, 6]
  let ack = 0
  for (const [index, pushed] of pushedBefore.entries()) {
    ack = pushed > 0 ? pushed : ack
    assert.equal(rule.begins(said('INCR evil\n', 100 + 10 * index, ack), index * 50), false, `line ${index}`)
  }
})

test('answers in the middle of a write are not those of a client that takes turns', () => {
  const rule = new JoinRule('answered')
  takesTurns(rule, 100)
  const half = Object.assign(said('half', 100, 1), { flags: ACK })
  for (let turn = 0; turn < 8; turn++) {
    half.seq = seq(109 + 4 * turn)
    half.ack = seq(3 + turn)
    assert.equal(rule.begins(half, 101 + turn), false)
  }
})

test('a copy that ended goes on at the next request after an answer', () => {
  const rule = new JoinRule('answered')
  rule.leave(new Flow().set(0, 40_000, 0, 80), seq(100), seq(1), 0)
  assert.equal(rule.begins(said('rest', 100, 1), 9000), false)
  rule.leave(new Flow().set(0, 40_000, 0, 80), seq(100), seq(1), 0)
  assert.equal(rule.begins(said('next', 100, 2), 9000), true)
})

test('a repeated segment changes nothing, one of another connection does', () => {
  const rule = new JoinRule('answered')
  takesTurns(rule, 100)
  rule.begins(said('one', 106, 1), 101)
  assert.equal(rule.begins(said('two', 109, 5), 150), true)
  rule.begins(said('one', 2 ** 30, 1), 0)
  takesTurns(rule, 100)
  assert.equal(rule.begins(said('two', 109, 5), 150), true)
})
