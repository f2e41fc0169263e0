import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Notices, SAME_MAX } from './notices.ts'

test('events are drained in their order, once', () => {
  const notices = new Notices()
  const lines: unknown[] = []
  notices.add('info', 'first', { bytes: 1 })
  notices.add('warn', 'second')
  notices.drain((...line) => lines.push(line), 0)
  notices.drain((...line) => lines.push(line), 0)
  assert.deepEqual(lines, [
    ['info', 'first', { bytes: 1 }],
    ['warn', 'second', undefined]
  ])
})

test('events beyond the limit are left out, and their number is said once', () => {
  const notices = new Notices()
  const messages = new Set<string>()
  for (let count = 0; count < 4100; count++) notices.add('info', `one of many ${count % 100}`)
  const lines: [string, unknown][] = []
  notices.drain((_, message, fields) => lines.push([message, fields]), 0)
  for (const [message] of lines) messages.add(message)
  assert.equal(lines.length, 4097)
  assert.deepEqual(lines.at(-1), ['too many log messages at once: some were left out', { count: 4 }])
  notices.add('info', 'the next')
  notices.drain((_, message, fields) => lines.push([message, fields]), 0)
  assert.deepEqual(lines.slice(4097), [['the next', undefined]])
})

test('a message that comes too often is left out until the minute is over, and its number is said', () => {
  const notices = new Notices()
  const lines: [number, string, unknown][] = []
  const drain = (now: number): void =>
    notices.drain((_, message, fields) => lines.push([now, message, fields?.count ?? fields?.number]), now)
  for (let second = 0; second < 120; second++) {
    notices.add('warn', 'too often', { number: second })
    notices.add('warn', 'too often', { number: second })
    if (second < 3) notices.add('info', 'rare')
    drain(second * 1000)
  }
  assert.equal(lines.filter(([, message]) => message === 'too often').length, 2 * SAME_MAX)
  assert.equal(lines.filter(([, message]) => message === 'rare').length, 3)
  assert.deepEqual(
    lines.filter(([, message]) => message.startsWith('a message')),
    [[60_000, 'a message was left out because it came too often', 60]]
  )
  drain(119_999)
  drain(120_000)
  assert.deepEqual(lines.at(-1), [120_000, 'a message was left out because it came too often', 60])
})
