import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { TimerWheel } from './timer-wheel.ts'

const START = 1234.5
const ENTRIES = 8
const action = fc.record({
  kind: fc.constantFrom('arm', 'arm', 'disarm', 'advance'),
  entry: fc.nat(ENTRIES - 1),
  after: fc.oneof(fc.double({ min: -5, max: 50, noNaN: true }), fc.double({ min: 0, max: 20_000, noNaN: true }))
})

test('a wheel fires the timers that a sorted list would, once, and at most 1 ms late', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 100 }), (actions) => {
      const wheel = new TimerWheel(START)
      const model = new Map<number, number>()
      let now = START
      for (const { kind, entry, after } of actions) {
        if (kind === 'arm') {
          wheel.arm(entry, now + after)
          model.set(entry, Math.max(Math.ceil(now + after), Math.floor(now) + 1))
        } else if (kind === 'disarm') {
          wheel.disarm(entry)
          model.delete(entry)
        } else {
          now += Math.max(0, after)
          const due = [...model].filter(([, at]) => at <= Math.floor(now)).map(([one]) => one)
          const fired: number[] = []
          wheel.advance(now, (one) => fired.push(one))
          assert.deepEqual(fired.sort(), due.sort())
          for (const one of due) model.delete(one)
        }
        const next = Math.min(Number.POSITIVE_INFINITY, ...model.values())
        assert.ok(wheel.next() <= next, 'it would sleep too long')
        assert.ok(wheel.next() > now - 1)
        if (model.size === 0) assert.equal(wheel.next(), Number.POSITIVE_INFINITY)
        else assert.ok(next - now > 4096 || wheel.next() <= next)
      }
    }),
    { seed: 1, numRuns: 500 }
  )
})

test('within one turn of the wheel the next instant is exact', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(4094), { minLength: 1, maxLength: 10 }), (delays) => {
      const wheel = new TimerWheel(START)
      for (const [entry, delay] of delays.entries()) wheel.arm(entry, 1235 + delay)
      assert.equal(wheel.next(), 1235 + Math.min(...delays))
    }),
    { seed: 1 }
  )
})

test('a timer that fires may arm itself and others', () => {
  const wheel = new TimerWheel(0)
  const fired: string[] = []
  let now = 0
  const fire = (entry: number) => {
    fired.push(`${entry} at ${now}`)
    if (fired.length < 4) wheel.arm(entry, now)
    wheel.disarm(2)
  }
  wheel.arm(1, 5)
  wheel.arm(2, 6)
  wheel.arm(3000, 7)
  for (now = 1; now < 20; now++) wheel.advance(now, fire)
  assert.deepEqual(fired.slice(0, 2), ['1 at 5', '1 at 6'])
  assert.deepEqual(fired.slice(2, 4).sort(), ['1 at 7', '3000 at 7'])
  assert.ok(!fired.some((one) => one.startsWith('2 ')))
})
