import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Counters } from '../../core/books/counters.ts'
import type { PacketSender } from '../../ports.ts'
import { Notices } from '../notices/notices.ts'
import { HostWarnings } from './host-warnings.ts'

test('losses in capture and refused packets are warned of with their counts, and their end is said', () => {
  const counters = new Counters()
  const refused = new Map<number, number>()
  const notices = new Notices()
  // as: the warnings use this alone
  const warnings = new HostWarnings(counters, { refused } as unknown as PacketSender, notices)
  const said: unknown[] = []
  const pass = (seconds: number): void => {
    for (let second = 0; second < seconds; second++) {
      now += 1000
      warnings.onTimer(now)
      notices.drain((_, message, fields = {}) => said.push([now / 1000, message, fields.lost ?? fields.refused]), now)
    }
  }
  let now = 0
  counters.set(Counter.capturedPackets, 1000)
  pass(5)
  counters.set(Counter.captureDropped, 17)
  counters.set(Counter.sendRefused, 3)
  refused.set(1, 3)
  pass(30)
  counters.set(Counter.captureDropped, 20)
  pass(60)
  assert.deepEqual(said, [
    [6, 'packets were lost in capture, so requests are missing in the copy', 17],
    [6, 'the kernel refused to send packets', 3],
    [66, 'packets were lost in capture, so requests are missing in the copy', 20],
    [66, 'the kernel refuses no packets any more', 3]
  ])
  pass(1)
  assert.deepEqual(said.at(-1), [96, 'no packets are lost in capture any more', 20])
})
