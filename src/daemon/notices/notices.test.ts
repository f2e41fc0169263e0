import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Notices } from './notices.ts'

test('events are drained in their order, once', () => {
  const notices = new Notices()
  const lines: unknown[] = []
  notices.add('info', 'first', { bytes: 1 })
  notices.add('warn', 'second')
  notices.drain((...line) => lines.push(line))
  notices.drain((...line) => lines.push(line))
  assert.deepEqual(lines, [
    ['info', 'first', { bytes: 1 }],
    ['warn', 'second', undefined]
  ])
})

test('events beyond the limit are left out, and their number is said once', () => {
  const notices = new Notices()
  for (let count = 0; count < 4100; count++) notices.add('info', 'one of many')
  const lines: [string, unknown][] = []
  notices.drain((_, message, fields) => lines.push([message, fields]))
  assert.equal(lines.length, 4097)
  assert.deepEqual(lines.at(-1), ['too many log messages at once: some were left out', { count: 4 }])
  notices.add('info', 'the next')
  notices.drain((_, message, fields) => lines.push([message, fields]))
  assert.deepEqual(lines.slice(4097), [['the next', undefined]])
})
