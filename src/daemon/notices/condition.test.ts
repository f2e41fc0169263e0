import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Condition, type ConditionTexts } from './condition.ts'
import { Notices } from './notices.ts'

class Rig {
  readonly #notices = new Notices()
  readonly #condition: Condition
  #now = 5000
  /** Second, message and the fields that the condition adds. */
  readonly said: string[] = []

  constructor(texts: Partial<ConditionTexts> = {}) {
    this.#condition = new Condition(this.#notices, { message: 'bad', overMessage: 'good', ...texts })
  }

  pass(seconds: number, isSeen: boolean | undefined): this {
    for (let second = 0; second < seconds; second++) {
      this.#condition.update(isSeen, this.#now, () => ({}))
      this.#notices.drain((_, message, fields = {}) => {
        const values = Object.values(fields).map((value) => ` ${String(value)}`)
        this.said.push(`${this.#now / 1000 - 5} ${message}${values.join('')}`)
      }, this.#now)
      this.#now += 1000
    }
    return this
  }
}

test('it is warned of at once, after a minute, then every ten minutes, and its end is said', () => {
  assert.deepEqual(new Rig().pass(1300, true).pass(1, false).said, [
    '0 bad',
    '60 bad 60',
    '660 bad 660',
    '1260 bad 1260',
    '1300 good 1300'
  ])
})

test('what comes and goes is warned of once a minute at most', () => {
  const rig = new Rig()
  for (let time = 0; time < 60; time++) rig.pass(1, true).pass(1, false)
  assert.deepEqual(rig.said, ['0 bad', '1 good 1', '60 bad', '61 good 1'])
})

test('as long as nothing shows whether it holds, nothing is said', () => {
  assert.deepEqual(new Rig().pass(1, true).pass(1000, undefined).pass(1, true).said, ['0 bad', '1001 bad 1001'])
})

test('it must last before it is warned of', () => {
  const rig = new Rig({ afterMs: 10_000 })
  assert.deepEqual(rig.pass(10, true).pass(1, false).said, [])
  assert.deepEqual(rig.pass(11, true).said, ['21 bad'])
})

test('what happens now and then is over when it has not happened for a time', () => {
  const rig = new Rig({ overAfterMs: 30_000 })
  rig.pass(1, true).pass(29, undefined).pass(1, true).pass(30, false)
  assert.deepEqual(rig.said, ['0 bad', '60 good 60'])
})
