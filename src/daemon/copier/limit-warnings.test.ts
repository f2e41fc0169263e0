import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import { Notices } from '../notices/notices.ts'
import { LimitWarnings } from './limit-warnings.ts'

test('a limit that costs something is warned of, and its end is said', () => {
  const counters = new Counters()
  const notices = new Notices()
  const warnings = new LimitWarnings(counters, notices)
  const said: unknown[] = []
  const check = (now: number): void => {
    warnings.onTimer(now)
    notices.drain((level, message, fields = {}) => said.push([level, message.split(',')[0], fields.count]), now)
  }
  check(0)
  counters.add(Counter.sessionsEvicted, 2)
  check(1000)
  counters.add(Counter.sessionsEvicted, 1)
  counters.drop(Drop.TableFull, 5, 0)
  check(2000)
  check(62_000)
  counters.add(Counter.sessionsEvicted, 4)
  check(63_000)
  assert.deepEqual(said, [
    ['warn', 'connections give up what they hold', 2],
    ['warn', 'connections are not copied', 5],
    ['info', 'connections give up nothing any more: -m suffices', 3],
    ['info', 'connections are copied again: --sessions suffices', 5],
    ['warn', 'connections give up what they hold', 4]
  ])
})
