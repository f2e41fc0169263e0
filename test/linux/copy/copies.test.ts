/** How many connections are copied, and how many times: -r, -n. */
import assert from 'node:assert/strict'
import { SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { onlySampledOut } from '../support/books.ts'
import { benchmark, openShortConnections, SETS } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'
import { untilCounter } from '../support/waiting.ts'

copied(
  '-n 3: the target serves exactly three times what the source serves',
  {
    tcpcopy: ['-n', '3', '-B', '64'],
    books: {
      copiesRefused: 0,
      copiesMoved: 0,
      sessionsStarted: (count, { copiesStarted = 0 }) => count === (copiesStarted * 3) / 2
    }
  },
  async (copy) => {
    await benchmark(copy.hosts.client, SOURCE, ...SETS, '-n', '20000', '-c', '50')
    const expected = 3 * (await copy.source.requestCount())
    assert.ok(expected >= 60_000)
    await copy.untilTargetHas(expected)
    await copy.finish()
    assert.equal(await copy.target.requestCount(), expected)
  }
)

copied(
  '-r 30: of 1000 short connections 300 are copied completely',
  {
    tcpcopy: ['-r', '30'],
    books: {
      sessionsStarted: 300,
      flowsLeftOut: 700,
      droppedBytes: onlySampledOut
    }
  },
  async (copy) => {
    await openShortConnections(copy.hosts.client, 1000)
    assert.equal(await copy.source.requestCount(), 1000)
    await copy.untilTargetHas(300)
    await untilCounter(copy.tcpcopy, 'flowsLeftOut', (count) => count === 700)
    await copy.finish()
    assert.equal(await copy.target.requestCount(), 300)
  }
)

copied('tcpcopy warns at its start if -n leaves too few ports', { tcpcopy: ['-n', '200'] }, async ({ tcpcopy }) => {
  await tcpcopy.waitForLine('stderr', (line) => line.includes('enough for 322 connections at once'))
})
