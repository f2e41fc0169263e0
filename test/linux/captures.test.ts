/** The same copy, whatever live packets are captured with. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasMessage } from '../../lab/hosts/json-log.ts'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import { compareStreams } from '../../lab/job/comparison.ts'
import { readClientStreams } from '../../lab/job/pcap-streams.ts'
import {
  ASSISTANT,
  CLIENT,
  finishAndReadBooks,
  loadOfAllSizes,
  MAP,
  openCopyLab,
  PORT,
  untilSame
} from './support/copy-lab.ts'

const COPY = ['-x', MAP, '-s', ASSISTANT]

for (const [args, through, offloads] of [
  [['--capture', 'ip'], 'raw socket', false],
  [['--capture', 'ip', '-F', `src host ${CLIENT}`], 'raw socket', true],
  [['-F', `src host ${CLIENT} and tcp`], 'ring', true],
  [['-i', 'eth0'], 'ring', true]
] as const) {
  test(`clients' bytes arrive as they were, with ${args.join(' ')}, offloads ${offloads ? 'on' : 'off'}`, async () => {
    await using lab = await openCopyLab({ offloads })
    const redis = await lab.startRedisPair()
    await lab.startIntercept()
    const tcpcopy = await lab.startTcpcopy([...COPY, ...args])
    assert.ok(tcpcopy.stderr.split('\n').some((line) => hasMessage(line, 'capturing') && line.includes(through)))
    const dumpOf = (name: 'source' | 'target') => {
      const { address } = lab.hosts[name]
      const filter = `tcp dst port ${PORT} and dst host ${address}`
      return startPacketDump(lab.hosts[name], filter, join(lab.folder, `${name}.pcap`))
    }
    const dumps = [await dumpOf('source'), await dumpOf('target')] as const
    await loadOfAllSizes(lab.hosts.client)
    await untilSame(redis.source, redis.target)
    for (const dump of dumps) assert.equal(await dump.stop(), 0)
    const base = Math.floor(Date.now() / 1000) - 600
    const { requests, connections } = compareStreams(
      await readClientStreams(dumps[0].path, PORT, base),
      await readClientStreams(dumps[1].path, PORT, base)
    )
    assert.deepEqual([requests.lost, requests.duplicated, connections.altered], [0, 0, 0])
    assert.deepEqual([connections.equal, connections.target], [connections.source, connections.source])
    assert.ok(connections.source > 200)
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.captureDropped, books.droppedBytes, books.captureLeftOut], [0, 0, 0])
  })
}
