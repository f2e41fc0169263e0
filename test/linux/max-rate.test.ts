/** `--max-rate` on a real kernel. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '../../lab/hosts/host.ts'
import { ASSISTANT, finishAndReadBooks, MAP, openCopyLab, SOURCE, untilCounter, untilSame } from './support/copy-lab.ts'

const RATE = 2_000_000
const REQUESTS = 400
const REQUEST_LENGTH = 20_000

/** Octets of frames that a host has received on eth0. */
async function received(host: Host): Promise<number> {
  const [link] = JSON.parse(await host.mustRun('ip', ['-s', '-j', 'link', 'show', 'dev', 'eth0']))
  return link.stats64.rx.bytes
}

for (const workers of ['1', '3']) {
  test(`a copy that may send less than its clients do comes later, and whole (--workers ${workers})`, async () => {
    await using lab = await openCopyLab()
    const redis = await lab.startRedisPair()
    await lab.startIntercept()
    const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, '--max-rate', '2M', '--workers', workers])
    const begun = performance.now()
    const args = ['-h', SOURCE, '-q', '-t', 'set', '-r', '2000000000', '-c', '10']
    await lab.hosts.client.mustRun('redis-benchmark', [...args, '-n', `${REQUESTS}`, '-d', `${REQUEST_LENGTH}`])
    const early = await received(lab.hosts.target)
    // Twice what is allowed since the start: frames have Ethernet headers, and the bucket was full.
    assert.ok(early <= 2 * RATE * ((performance.now() - begun) / 1000) + 1_000_000, `${early} octets so soon`)
    await untilSame(redis.source, redis.target)
    await untilCounter(tcpcopy, 'pendingBytes', (count) => count === 0)
    const seconds = (performance.now() - begun) / 1000
    assert.ok(seconds >= (REQUESTS * REQUEST_LENGTH) / RATE - 1, `all octets within ${seconds} s`)
    assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
  })
}
