import assert from 'node:assert/strict'
import { test } from 'node:test'
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

test('a repeated segment changes nothing, one of another connection does', () => {
  const rule = new JoinRule('answered')
  rule.begins(said('one', 100, 1), 0)
  rule.begins(said('one', 100, 1), 0)
  assert.equal(rule.begins(said('two', 103, 5), 0), true)
  rule.begins(said('one', 2 ** 30, 1), 0)
  rule.begins(said('one', 100, 1), 0)
  assert.equal(rule.begins(said('two', 103, 5), 0), true)
})
