import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seq } from '../wire/seq.ts'
import { Passage, Rows } from './passage.ts'

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

/** Passes everything through in one order. @returns what came out */
function pass(
  through: Passage,
  { words, shorts, reals, flags }: typeof contents extends fc.Arbitrary<infer T> ? T : never
) {
  return {
    words: words.map((word, index) => (index % 2 === 0 ? through.whole(word) : through.seq(seq(word)))),
    shorts: shorts.map((short) => through.short(short)),
    reals: reals.map((real) => through.number(real)),
    flags: flags.map((flag) => through.flag(flag))
  }
}

test('what was written into a row is read from it, whatever is in the rows beside it', () => {
  fc.assert(
    fc.property(fc.array(contents, { minLength: ROWS, maxLength: ROWS }), contents, (written, before) => {
      const rows = new Rows(ROWS)
      const passage = new Passage()
      for (const [row, content] of [[1, before] as const, ...written.entries()]) {
        passage.beginWriting(rows, row)
        pass(passage, content)
        passage.end()
      }
      for (const [row, content] of written.entries()) {
        assert.ok(rows.isTaken(row))
        passage.beginReading(rows, row)
        assert.deepEqual(pass(passage, before), { ...content })
        passage.end()
      }
      rows.clear(1)
      assert.deepEqual([rows.isTaken(0), rows.isTaken(1), rows.isTaken(2)], [true, false, true])
    })
  )
})

test('a session with a number more than a row holds does not get by', () => {
  const passage = new Passage()
  passage.beginWriting(new Rows(1), 0)
  pass(passage, {
    words: Array<number>(WORDS).fill(0),
    shorts: Array<number>(SHORTS).fill(0),
    reals: Array<number>(REALS + 1).fill(0),
    flags: []
  })
  assert.throws(() => passage.end(), new RegExp(`33 words, ${SHORTS} shorts and ${REALS + 1} reals`))
})
