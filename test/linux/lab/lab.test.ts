/** The lab's hosts and programs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { deviceCounters } from '../../../lab/hosts/device-counters.ts'
import { openLab } from '../../../lab/hosts/lab.ts'
import { until } from '../support/waiting.ts'

const plan = {
  hosts: { client: { addresses: ['10.77.0.10', '10.77.0.11'] }, target: { addresses: ['10.77.0.2'] } },
  routes: [{ on: 'target', to: '10.77.0.99/32', via: '10.77.0.10' }]
} as const

test('hosts reach each other and nothing else', async () => {
  await using lab = await openLab(plan)
  const { client, target } = lab.hosts
  assert.equal((await client.run('ip', ['route', 'get', '192.0.2.1'])).status, 2)
  assert.match(await target.mustRun('ip', ['route', 'get', '10.77.0.99']), /via 10\.77\.0\.10 dev eth0/)

  const server = target.spawn(process.execPath, ['-e', `require('net').createServer((s) => s.end('hello')).listen(7)`])
  await target.waitForPort(7)
  const ask = `require('net').connect(7, '10.77.0.2').pipe(process.stdout)`
  assert.equal(await client.mustRun(process.execPath, ['-e', ask]), 'hello')
  assert.ok(server.cpuSeconds() > 0)
  const exit = await server.stop()
  assert.equal(exit.signal, 'SIGTERM')
  assert.ok(Number.isNaN(server.cpuSeconds()))
})

test('closing a lab ends its programs, orphans included, and removes the hosts', async () => {
  const lab = await openLab(plan)
  const program = lab.hosts.client.spawn('sleep', ['1000'])
  await lab.hosts.client.mustRun('sh', ['-c', 'setsid sleep 2000 >/dev/null 2>&1 &'])
  await lab.close()
  assert.equal(program.exit?.signal, 'SIGTERM')
  assert.deepEqual(readdirSync('/run/netns'), [])
  assert.throws(() => lab.hosts.client.spawn('true'), /closed/)
  // Process 1 reaps the orphan soon after.
  await until('no sleep(1) runs', () => sleepers() === 0)
  await lab.close()
})

function sleepers(): number {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && commandOf(name).startsWith('sleep')).length
}

function commandOf(id: string): string {
  try {
    return readFileSync(`/proc/${id}/cmdline`, 'latin1')
  } catch {
    // It has ended.
    return ''
  }
}

test('an early exit of a program is reported with its output', async () => {
  await using lab = await openLab(plan)
  const program = lab.hosts.client.spawn('sh', ['-c', 'echo no such device >&2; exit 3'])
  await assert.rejects(
    program.waitForLine('stderr', (line) => line === 'ready'),
    /sh on client ended with exit 3\.\n.*\n *no such device/
  )
  const silent = lab.hosts.client.spawn('sleep', ['1000'])
  await assert.rejects(
    silent.waitForLine('stderr', () => true, 50),
    /50 ms/
  )
})

test('a program that ignores SIGTERM is killed after the timeout', async () => {
  await using lab = await openLab(plan)
  const program = lab.hosts.client.spawn('sh', ['-c', 'trap "" TERM; echo on; while :; do sleep 0.1; done'])
  await program.waitForLine('stdout', (line) => line === 'on')
  assert.equal((await program.stop('SIGTERM', 200)).signal, 'SIGKILL')
})

test('offloads are off by default', async () => {
  for (const offloads of [false, true]) {
    await using lab = await openLab({ ...plan, offloads })
    const features = await lab.hosts.client.mustRun('ethtool', ['-k', 'eth0'])
    const expected = offloads ? 'on' : 'off'
    for (const name of ['tcp-segmentation-offload', 'generic-segmentation-offload', 'tx-checksumming']) {
      assert.match(features, new RegExp(`^${name}: ${expected}`, 'm'))
    }
  }
})

test('with network threads each cable has one, and packets are not merged', async () => {
  const opened = openLab({ ...plan, hasNetworkThreads: true })
  if (process.getuid?.() !== 0) {
    await assert.rejects(opened, /Only root/)
    return
  }
  await using lab = await opened
  const { client, target } = lab.hosts
  const read = 'mount -t sysfs none /sys && cat /sys/class/net/port[01]/threaded'
  assert.equal(execFileSync('unshare', ['--mount', 'sh', '-c', read], { encoding: 'utf8' }), '1\n1\n')
  const packetCount = async (): Promise<number> => (await deviceCounters(target)).rx.packets
  const sink = `require('net').createServer((s) => s.resume().on('end', () => s.end('all'))).listen(7)`
  target.spawn(process.execPath, ['-e', sink])
  await target.waitForPort(7)
  const before = await packetCount()
  const send = `require('net').connect(7, '10.77.0.2').end(Buffer.alloc(1_000_000)).pipe(process.stdout)`
  assert.equal(await client.mustRun(process.execPath, ['-e', send]), 'all')
  assert.ok((await packetCount()) - before >= 1_000_000 / 1460, 'packets were merged')
})
