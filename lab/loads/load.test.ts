import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findProblems, type Load, type Measured } from './load.ts'
import { loadRow } from './load-report.ts'
import { startRedisServer } from './server.ts'

const load: Load = {
  name: 'some',
  title: 'a load',
  inC: '1 % lost',
  server: startRedisServer,
  drive: async () => {},
  judge: ({ peakMegabytes }) => (peakMegabytes.tcpcopy > 100 ? ['Too much memory.'] : [])
}
const round = { source: 1000, target: 1000, lost: 0, surplus: 0, loadSeconds: 1, copySeconds: 1.25 }
const good: Measured = {
  rounds: [round, round],
  peakMegabytes: { tcpcopy: 90, intercept: 80 },
  cpuUsPerRequest: { tcpcopy: 9.1, intercept: 3.4 },
  exitStatus: { tcpcopy: 0, intercept: 0 },
  statistics: { tcpcopy: { unaccountedBytes: 0, 'dropped.sampledOut.bytes': 9 }, intercept: {} },
  differences: []
}

test('a copy without loss has no problems, and what -r leaves out is not a loss', () => {
  assert.deepEqual(findProblems(load, good), [])
})

test('each loss, surplus and difference is a separate problem', () => {
  const faults: [Partial<Measured>, RegExp][] = [
    [{ rounds: [round, { ...round, lost: 2 }] }, /^2 requests were lost in run 2\.$/],
    [{ rounds: [{ ...round, surplus: 3 }] }, /^3 extra requests reached the target\.$/],
    [{ rounds: [{ ...round, source: 0 }] }, /^The source received no request\.$/],
    [{ differences: ['They differ.'] }, /^They differ\.$/],
    [{ peakMegabytes: { tcpcopy: 101, intercept: 1 } }, /^Too much memory\.$/],
    [
      { statistics: { tcpcopy: { unaccountedBytes: 0, 'dropped.poolFull.bytes': 7 }, intercept: {} } },
      /^tcpcopy dropped client bytes: poolFull 7 bytes\.$/
    ],
    [{ statistics: { tcpcopy: { unaccountedBytes: 5 }, intercept: {} } }, /do not add up: 5 bytes/],
    [{ statistics: { tcpcopy: {}, intercept: {} } }, /do not add up/],
    [{ exitStatus: { tcpcopy: null, intercept: 0 } }, /^tcpcopy ended with a signal/]
  ]
  for (const [fault, message] of faults) {
    const problems = findProblems(load, { ...good, ...fault })
    assert.equal(problems.length, 1, problems.join('\n'))
    assert.match(problems[0] ?? '', message)
  }
})

test('a row shows each run, the counters of losses and repairs, and the problems', () => {
  const statistics = { tcpcopy: { captureDropped: 12, retransmissions: 0 }, intercept: {} }
  const row = { name: 'some', title: 'a load', inC: '1 % lost', measured: { ...good, statistics } }
  const text = loadRow({ ...row, ok: false, problems: ['Two\nlines.'] })
  assert.match(text, /^a load +1 % lost +1,000 of 1,000 in 1\.3 s +FAILED$/m)
  assert.equal(text.match(/1,000 of 1,000/g)?.length, 2)
  assert.match(text, /^ +tcpcopy captureDropped 12$/m)
  assert.doesNotMatch(text, /retransmissions/)
  assert.match(text, /^ {4}Two\n {4}lines\.$/m)
  assert.match(loadRow({ ...row, measured: null, ok: true, problems: [] }), /not measured +ok$/m)
})
