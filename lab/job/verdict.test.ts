import assert from 'node:assert/strict'
import { test } from 'node:test'
import { counter, lastStatistics } from '../hosts/json-log.ts'
import { type Measured, printTable } from './report.ts'
import { findProblems } from './verdict.ts'

const good: Measured = {
  requests: { source: 1000, target: 1000, lost: 0, duplicated: 0 },
  connections: { source: 10, target: 10, equal: 10, altered: 0 },
  delay: {
    paced: { p50Us: 120.25, p99Us: 900, counted: 990 },
    loaded: { p50Us: null, p99Us: null, counted: 0 }
  },
  redisCommands: { source: 1000, target: 1000 },
  dataDigestsEqual: true,
  cpuUsPerRequest: { tcpcopy: 9.1, intercept: 3.4 },
  requestsPerSecond: { kept: 43478.26, short: 9000 },
  captureDropped: { tcpcopy: 0, intercept: 0, sourceTcpdump: 0, targetTcpdump: 0 },
  captureHoles: 0,
  captureStrays: 0,
  startupMs: 301.4,
  exitStatus: { tcpcopy: 0, intercept: 0 },
  statistics: { tcpcopy: { unaccountedBytes: 0 }, intercept: {} }
}

test('a correct copy has no problems', () => {
  assert.deepEqual(findProblems(good), [])
})

test('each fault of the copy, and each flaw of the check, is a separate problem', () => {
  const faults: [Partial<Measured>, RegExp][] = [
    [{ requests: { source: 1000, target: 998, lost: 2, duplicated: 0 } }, /2 requests were lost/],
    [{ requests: { source: 1000, target: 1001, lost: 0, duplicated: 1 } }, /1 requests were duplicated/],
    [
      { connections: { source: 10, target: 10, equal: 9, altered: 1 } },
      /1 of 10 connections differ .*1 of them altered/
    ],
    [{ connections: { source: 10, target: 12, equal: 10, altered: 0 } }, /saw 12 connections, the source 10/],
    [
      { redisCommands: { source: 1000, target: 999 } },
      /inconsistent at the target: captured 1000 requests, redis served 999/
    ],
    [{ dataDigestsEqual: false }, /data sets/],
    [{ captureDropped: { ...good.captureDropped, targetTcpdump: 3 } }, /tcpdump lost 3 packets/],
    [
      { statistics: { tcpcopy: { unaccountedBytes: 0, 'dropped.poolFull.bytes': 7 }, intercept: {} } },
      /dropped client bytes: poolFull 7/
    ],
    [{ statistics: { tcpcopy: { unaccountedBytes: 5 }, intercept: {} } }, /do not close: 5/],
    [{ captureHoles: 1 }, /holes/],
    [{ captureStrays: 1 }, /the SYN of 1 captured segments is missing/],
    [{ exitStatus: { tcpcopy: null, intercept: 0 } }, /tcpcopy ended with a signal/],
    [{ statistics: { tcpcopy: {}, intercept: null } }, /intercept logged no statistics/],
    [{ requests: { source: 0, target: 0, lost: 0, duplicated: 0 } }, /source received no request/]
  ]
  for (const [fault, message] of faults) {
    assert.match(findProblems({ ...good, ...fault }).join('\n'), message)
  }
})

test('the table shows what was measured, and what is unknown', () => {
  const text = printTable({ ...good, ok: true, problems: [] })
  assert.match(text, /^requests \(captures\) +1,000 +1,000$/m)
  assert.match(text, /p50 0\.120 ms, p99 0\.900 ms \(990 requests/)
  assert.match(text, /\nOK: /)
  const unknown = { ...good, captureDropped: { ...good.captureDropped, tcpcopy: null }, ok: false, problems: ['No.'] }
  assert.match(printTable(unknown), /tcpcopy unknown, intercept 0.*\n(.*\n)*FAILED:\n- No\.\n/)
})

test('the last statistics of a log are found among other lines', () => {
  const log =
    '{"message":"statistics","a":1}\n(node:1) Warning\nnull\n{"message":"statistics","a":2}\n{"message":"end"}\n'
  assert.equal(counter(lastStatistics(log), 'a'), 2)
  assert.equal(counter(lastStatistics(log), 'b'), null)
  assert.equal(lastStatistics('{"message":'), undefined)
})
