/** The captures of the lab against redis' own count. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { openLab } from '../../../lab/hosts/lab.ts'
import { startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import { readClientStreams } from '../../../lab/job/pcap-streams.ts'
import { startRedis } from '../../../lab/job/redis.ts'

for (const offloads of [false, true]) {
  test(`a capture has the requests that redis served, offloads ${offloads ? 'on' : 'off'}`, async () => {
    await using lab = await openLab({
      hosts: { client: { addresses: ['10.77.0.10'] }, source: { addresses: ['10.77.0.1'] } },
      offloads
    })
    const { client, source } = lab.hosts
    const redis = await startRedis(source, 6379, lab.folder)
    const emptyDigest = await redis.digest()
    assert.equal(await redis.requestCount(), 0)
    const dump = await startPacketDump(source, 'tcp and dst port 6379', join(lab.folder, 'source.pcap'))

    const server = ['-h', source.address, '-t', 'set', '-r', '1000000']
    // Values larger than a packet, several requests in flight, and short connections.
    await client.mustRun('redis-benchmark', [...server, '-c', '3', '-n', '200', '-d', '20000', '-P', '4'])
    await client.mustRun('redis-benchmark', [...server, '-c', '5', '-n', '100', '-k', '0'])
    assert.equal((await client.run('redis-cli', ['-h', source.address, 'SET', 'too', 'few', 'or', 'many'])).status, 0)

    assert.equal(await dump.stop(), 0)
    const streams = await readClientStreams(dump.path, 6379, Math.floor(Date.now() / 1000) - 60)
    assert.ok(streams.requestCount > 300)
    assert.equal(streams.requestCount, await redis.requestCount())
    assert.deepEqual([streams.holeCount, streams.strayCount], [0, 0])
    assert.notEqual(await redis.digest(), emptyDigest)
  })
}
