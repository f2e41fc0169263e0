import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seq } from '../../wire/seq.ts'
import { Rows, Snapshot } from './snapshot.ts'

const ROWS = 3
const WORDS = 32
const SHORTS = 17
const REALS = 25
const FLAGS = 12

const contents = fc.record({
  words: fc.array(fc.integer({ min: -0x80000000, max: 0x7fffffff }), { minLength: WORDS, maxLength: WORDS }),
  shorts: fc.array(fc.nat(0xffff), { minLength: SHORTS, maxLength: SHORTS }),
  reals: fc.array(fc.double(), { minLength: REALS, maxLength: REALS }),
  flags: fc.array(fc.boolean(), { minLength: FLAGS, maxLength: FLAGS })
})

/** Transfers every field, in one order. @returns the fields afterwards */
function pass(
  snapshot: Snapshot,
  { words, shorts, reals, flags }: typeof contents extends fc.Arbitrary<infer T> ? T : never
) {
  return {
    words: words.map((word, index) => (index % 2 === 0 ? snapshot.whole(word) : snapshot.seq(seq(word)))),
    shorts: shorts.map((short) => snapshot.short(short)),
    reals: reals.map((real) => snapshot.number(real)),
    flags: flags.map((flag) => snapshot.flag(flag))
  }
}

test('a row returns what was written into it, whatever the rows beside it hold', () => {
  fc.assert(
    fc.property(fc.array(contents, { minLength: ROWS, maxLength: ROWS }), contents, (written, before) => {
      const snapshot = new Snapshot()
      snapshot.measure(() => pass(snapshot, before))
      const rows = new Rows(ROWS, snapshot.widths)
      for (const [row, content] of [[1, before] as const, ...written.entries()]) {
        snapshot.beginWriting(rows, row)
        pass(snapshot, content)
        snapshot.end()
      }
      for (const [row, content] of written.entries()) {
        assert.ok(rows.isTaken(row))
        snapshot.beginReading(rows, row)
        assert.deepEqual(pass(snapshot, before), { ...content })
        snapshot.end()
      }
      rows.clear(1)
      assert.deepEqual([rows.isTaken(0), rows.isTaken(1), rows.isTaken(2)], [true, false, true])
    })
  )
})

test('a session with more numbers than a row holds is rejected', () => {
  const snapshot = new Snapshot()
  const zeros = (count: number): number[] => Array<number>(count).fill(0)
  const fits = { words: zeros(WORDS), shorts: zeros(SHORTS), reals: zeros(REALS), flags: [] }
  snapshot.measure(() => pass(snapshot, fits))
  assert.deepEqual(snapshot.widths, { words: WORDS + 1, shorts: SHORTS, reals: REALS })
  snapshot.beginWriting(new Rows(1, snapshot.widths), 0)
  pass(snapshot, { ...fits, reals: zeros(REALS + 1) })
  assert.throws(() => snapshot.end(), new RegExp(`33 words, ${SHORTS} shorts and ${REALS + 1} reals`))
})

test('more flags than a word holds are refused when a row is measured', () => {
  const snapshot = new Snapshot()
  const flags = Array<boolean>(32).fill(true)
  assert.throws(() => snapshot.measure(() => pass(snapshot, { words: [], shorts: [], reals: [], flags })), RangeError)
})
