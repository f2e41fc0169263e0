/** A target in a network namespace of its own behind address translation, as a container's. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasMessage } from '../../lab/hosts/json-log.ts'
import { openLab } from '../../lab/hosts/lab.ts'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import { compareStreams } from '../../lab/job/comparison.ts'
import { readClientStreams } from '../../lab/job/pcap-streams.ts'
import { startRedis } from '../../lab/job/redis.ts'
import { finishAndReadBooks, INTERCEPT, startReady, TCPCOPY, untilSame } from './support/copy-lab.ts'

const PORT = 6379
const CONTAINER_PORT = 6380
const SOURCE = '10.77.0.1'
const TARGET = '10.77.0.2'
const CONTAINER = '172.18.0.2'

test('a target behind DNAT: intercept on its host takes the answers before they are translated back', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nat-'))
  await using lab = await openLab({
    hosts: {
      client: { addresses: ['10.77.0.10'] },
      source: { addresses: [SOURCE] },
      target: {
        addresses: [TARGET, '172.18.0.1'],
        sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv4.conf.all.send_redirects': '0' }
      },
      container: { addresses: [CONTAINER] }
    },
    routes: [{ on: 'container', to: 'default', via: '172.18.0.1' }]
  })
  try {
    const { client, source, target, container } = lab.hosts
    await target.mustRun('nft', ['add table ip containers'])
    await target.mustRun('nft', ['add chain ip containers in { type nat hook prerouting priority -100; }'])
    const dnat = `ip daddr ${TARGET} tcp dport ${PORT} dnat to ${CONTAINER}:${CONTAINER_PORT}`
    await target.mustRun('nft', [`add rule ip containers in ${dnat}`])
    const original = await startRedis(source, PORT, folder)
    const copy = await startRedis(container, CONTAINER_PORT, folder)
    const dumps = [
      await startPacketDump(source, `tcp and dst host ${SOURCE} and dst port ${PORT}`, join(folder, 'source.pcap')),
      await startPacketDump(container, `tcp and dst port ${CONTAINER_PORT}`, join(folder, 'container.pcap'))
    ]
    const answers = [
      '-i',
      'eth0',
      '-F',
      `tcp and src host ${CONTAINER} and src port ${CONTAINER_PORT}`,
      '--manage-rules'
    ]
    const translation = `${CONTAINER}:${CONTAINER_PORT}-${TARGET}:${PORT}`
    await startReady(target, INTERCEPT, [...answers, '-D', translation])
    const tcpcopy = await startReady(source, TCPCOPY, ['-x', `${PORT}-${TARGET}:${PORT}`, '-s', TARGET])
    await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, 'connected to intercept'))
    const load = ['-h', SOURCE, '-r', '2000000000', '-q']
    await client.mustRun('redis-benchmark', [...load, '-t', 'set', '-d', '3000', '-c', '20', '-n', '3000'])
    await client.mustRun('redis-benchmark', [...load, '-t', 'hset', '-c', '5', '-n', '300', '-k', '0'])
    await untilSame(original, copy)
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.droppedBytes, books.sessionsDisowned], [0, 0])
    await Promise.all(dumps.map((dump) => dump.stop()))
    const base = Math.floor(Date.now() / 1000) - 600
    const streams = await readClientStreams(join(folder, 'source.pcap'), PORT, base)
    const copies = await readClientStreams(join(folder, 'container.pcap'), CONTAINER_PORT, base)
    const { requests, connections } = compareStreams(streams, copies)
    assert.deepEqual([requests.lost, requests.duplicated], [0, 0])
    assert.deepEqual([connections.source, connections.equal], [connections.target, connections.target])
    assert.ok(connections.source > 300)
  } finally {
    await lab.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
