import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  AnswerRecord,
  fillAnswer,
  fillFromRecord,
  isOrdinary,
  parseAnswerRecord,
  parseHeaderRecord
} from '../../wire/channel/answer-records.ts'
import { HEADER_LENGTH } from '../../wire/channel/channel-v1.ts'
import { RecordType, recordType } from '../../wire/channel/channel-v2.ts'
import { Flaw } from '../../wire/flaw.ts'
import { ACK, FIN, PSH, RST, Segment, SYN } from '../../wire/segment.ts'
import { seq } from '../../wire/seq.ts'
import { AnswerBatch } from './answer-batch.ts'

interface Step {
  readonly flow: number
  readonly seq: number
  readonly length: number
  readonly ack: number
  readonly window: number
  readonly flags: number
}

function segmentOf({ flow, length, ...rest }: Step): Segment {
  const { seq: sequence, ack, window, flags } = rest
  return Object.assign(new Segment(), {
    ...{ fromAddress: 0x0a000003, fromPort: 80, toAddress: 0x0a000001, toPort: 1000 + flow, payloadLength: length },
    ...{ seq: seq(sequence), ack: seq(ack), window, flags }
  })
}

/** The segments that records stand for, in their order. */
function unpack(steps: readonly Step[]): { readonly steps: Step[]; readonly records: number } {
  const unpacked: Step[] = []
  let records = 0
  const answers = new AnswerRecord()
  const segment = new Segment()
  const take = (): void => {
    const { toPort, seq: sequence, payloadLength, ack, window, flags } = segment
    unpacked.push({ flow: toPort - 1000, seq: sequence, length: payloadLength, ack, window, flags })
  }
  const batch = new AnswerBatch((peer, record) => {
    assert.equal(peer, 7)
    records += 1
    if (recordType(record, 0) === RecordType.Header) {
      assert.equal(parseHeaderRecord(record, 0, segment), Flaw.None)
      take()
      return
    }
    assert.ok(parseAnswerRecord(record, 0, answers))
    fillFromRecord(answers, segment)
    for (let index = 0; index < answers.segmentCount; index++) {
      fillAnswer(answers, index, segment)
      take()
    }
  })
  for (const step of steps) {
    const given = segmentOf(step)
    if (isOrdinary(step.flags)) batch.add(step.flow, 7, given)
    else batch.addHeader(step.flow, 7, headerOf(step), given)
  }
  batch.flush(0)
  return { steps: unpacked, records }
}

function headerOf({ seq: sequence, ack, window, flags }: Step): Uint8Array {
  const header = new Uint8Array(HEADER_LENGTH)
  const view = new DataView(header.buffer, 20)
  view.setInt32(4, sequence)
  view.setInt32(8, ack)
  view.setUint8(12, 0x50)
  view.setUint8(13, flags)
  view.setUint16(14, window)
  return header
}

const answer = (at: number, length: number, rest: Partial<Step> = {}): Step => ({
  ...{ flow: 1, seq: at, length, ack: 100, window: 500, flags: ACK },
  ...rest
})

test('an answer of many segments takes one record, and so do repeated ACKs', () => {
  const long = Array.from({ length: 14 }, (_, index) => answer(1000 + index * 1448, 1448))
  assert.deepEqual(unpack(long), { steps: [answer(1000, 14 * 1448)], records: 1 })
  const often = Array.from({ length: 9 }, () => answer(1000, 0))
  assert.deepEqual(unpack(often), { steps: often, records: 1 })
})

test('each flow has its own record, in the order of their first answers', () => {
  const mixed = [0, 1, 2, 3].flatMap((part) => [2, 1, 3].map((flow) => answer(part * 10, 10, { flow })))
  const expected = [2, 1, 3].map((flow) => answer(0, 40, { flow }))
  assert.deepEqual(unpack(mixed), { steps: expected, records: 3 })
})

test('SYN-ACKs, RSTs and window changes to or from zero are never merged with other answers', () => {
  const steps = [
    answer(0, 10, { flags: SYN | ACK }),
    answer(0, 10),
    answer(10, 10, { window: 0 }),
    answer(20, 10),
    answer(30, 0, { flags: RST | ACK }),
    answer(30, 10)
  ]
  assert.deepEqual(unpack(steps), { steps, records: 6 })
})

test('records that exceed a batch are delivered early, in order', () => {
  const many = Array.from({ length: 1000 }, (_, flow) => answer(0, 10, { flow }))
  assert.deepEqual(unpack(many), { steps: many, records: 1000 })
})

test('a batch preserves bytes, their order, FIN, the last window and acknowledgment, and duplicate ACKs', () => {
  // Like a target: mostly in order, sometimes repeated or with a gap, with new or duplicate acknowledgments.
  const anyStep = fc.record({
    flow: fc.nat(2),
    jump: fc.constantFrom(0, 0, 0, 0, 10, -10),
    length: fc.constantFrom(0, 0, 10, 10, 10),
    ackStep: fc.constantFrom(0, 0, 0, 5, -5),
    window: fc.constantFrom(500, 500, 500, 400, 0),
    flags: fc.constantFrom(ACK, ACK, ACK, ACK | PSH, ACK | FIN, ACK | 0x40, SYN | ACK, RST)
  })
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (moves) => {
      const next = [1000, 1000, 1000]
      const acks = [100, 100, 100]
      const steps = moves.map(({ flow, jump, length, ackStep, window, flags }) => {
        const at = (next[flow] ?? 0) + jump
        next[flow] = at + length + (flags & FIN ? 1 : 0)
        acks[flow] = (acks[flow] ?? 0) + ackStep
        return { flow, seq: at, length, ack: acks[flow] ?? 0, window, flags }
      })
      const { steps: seen } = unpack(steps)
      for (const flow of [0, 1, 2]) {
        const given = steps.filter((step) => step.flow === flow)
        const told = seen.filter((step) => step.flow === flow)
        assert.deepEqual(pieces(told), pieces(given))
        assert.deepEqual(last(told), last(given))
        assert.deepEqual(zeroChanges(told), zeroChanges(given))
        // When ACKs arrive out of order, duplicates cannot be recognized.
        if (isSorted(given)) assert.deepEqual(duplicates(told), duplicates(given))
      }
    }),
    { seed: 1, numRuns: 2000 }
  )
})

/** Bytes in order of arrival, and what separates them. Contiguous bytes are one piece. */
function pieces(steps: readonly Step[]): string[] {
  const found: { seq: number; end: number; flags: number }[] = []
  for (const { seq: at, length, flags } of steps) {
    if (!isOrdinary(flags)) found.push({ seq: at, end: at + length, flags: flags | 0x100 })
    else if (length > 0 || flags & FIN) {
      const before = found.at(-1)
      if (before !== undefined && before.end === at && (before.flags & (FIN | 0x100)) === 0 && before.seq !== at) {
        before.end = at + length
        before.flags = flags & (PSH | FIN)
      } else found.push({ seq: at, end: at + length, flags: flags & (PSH | FIN) })
    }
  }
  return found.map(({ seq: at, end, flags }) => `${at}:${end} ${flags}`)
}

function last(steps: readonly Step[]) {
  const step = steps.at(-1)
  return step === undefined ? undefined : { ack: step.ack, window: step.window }
}

function zeroChanges(steps: readonly Step[]): boolean[] {
  return steps
    .map(({ window }) => window === 0)
    .filter((isZero, index, all) => index === 0 || all[index - 1] !== isZero)
}

function isSorted(steps: readonly Step[]): boolean {
  return steps.every(({ ack }, index) => index === 0 || ack >= (steps[index - 1]?.ack ?? 0))
}

/** How many duplicates of the last acknowledgment a sender counts (RFC 5681 §2). */
function duplicates(steps: readonly Step[]): number[] {
  let newest = Number.NEGATIVE_INFINITY
  let window = 0
  let count = 0
  for (const step of steps) {
    if (!isOrdinary(step.flags)) continue
    const isPure = step.length === 0 && (step.flags & FIN) === 0
    if (step.ack > newest) {
      newest = step.ack
      count = 0
    } else if (step.ack === newest && isPure && step.window === window) count += 1
    if (step.ack === newest) window = step.window
  }
  return [newest, count]
}
