/** A second tcpcopy: it does not start if it would do the work of the first again. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import {
  ASSISTANT,
  INTERCEPT,
  MAP,
  openCopyLab,
  PORT,
  startReady,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { stopCleanly } from '../support/waiting.ts'

const COPY = ['-x', MAP, '-s', ASSISTANT]

async function assertRefused(host: Host, path: string, args: readonly string[], expected: RegExp): Promise<void> {
  const { status, stderr } = await host.run(path, args)
  assert.equal(status, 1, stderr)
  assert.match(stderr, expected)
  assert.equal(stderr.trim().split('\n').length, 2, stderr)
}

test('a second tcpcopy with the same -x and -f does not start, whatever its other options, and names -f', async () => {
  await using lab = await openCopyLab()
  const { source, client } = lab.hosts
  const refusal = /^tcpcopy: another tcpcopy already copies 6379-10\.77\.0\.2:6379 .*\n.*--port-shift \(-f\)/
  const first = await startReady(source, TCPCOPY, COPY)
  await assertRefused(source, TCPCOPY, COPY, refusal)
  await assertRefused(source, TCPCOPY, [...COPY, '-x', `80-${TARGET}:80`, '-r', '10'], refusal)
  await assertRefused(source, TCPCOPY, [...COPY, '-d', '-l', `${lab.folder}/log`], refusal)
  const others = [
    await startReady(source, TCPCOPY, [...COPY, '-f', '1']),
    await startReady(source, TCPCOPY, ['-x', `${PORT}-${TARGET}:6400`, '-s', ASSISTANT]),
    await startReady(source, TCPCOPY, ['-x', MAP, '--udp']),
    await startReady(client, TCPCOPY, COPY)
  ]
  for (const other of others) await stopCleanly(other)
  await first.stop('SIGKILL')
  await stopCleanly(await startReady(source, TCPCOPY, COPY))
})

test('a second recording to the same file does not start', async () => {
  await using lab = await openCopyLab()
  const { source } = lab.hosts
  const record = ['record', '-x', `${PORT}`, '-o', `${lab.folder}/a.pcapng`]
  const first = await startReady(source, TCPCOPY, record)
  await assertRefused(source, TCPCOPY, record, /already records to .*a\.pcapng\n.*--output/)
  const other = await startReady(source, TCPCOPY, ['record', '-x', `${PORT}`, '-o', `${lab.folder}/b.pcapng`])
  await stopCleanly(other)
  await stopCleanly(first)
})

test('a pid file belongs to the process that wrote it, until that ends', async () => {
  await using lab = await openCopyLab()
  const { source, assistant } = lab.hosts
  const pidFile = `${lab.folder}/pid`
  const withFile = [...COPY, '-P', pidFile]
  const first = await startReady(source, TCPCOPY, withFile)
  const owned = `${first.pid}\n`
  assert.equal(readFileSync(pidFile, 'utf8'), owned)
  await assertRefused(source, TCPCOPY, withFile, /another tcpcopy already copies/)
  const running = new RegExp(`the pid file .* belongs to the running process ${first.pid}\\n.*--pid-file`)
  await assertRefused(source, TCPCOPY, [...withFile, '-f', '1'], running)
  await assertRefused(assistant, INTERCEPT, ['-i', 'eth0', '-F', 'tcp', '-P', pidFile], running)
  assert.equal(readFileSync(pidFile, 'utf8'), owned)
  await first.stop('SIGKILL')
  const next = await startReady(source, TCPCOPY, withFile)
  assert.equal(readFileSync(pidFile, 'utf8'), `${next.pid}\n`)
  await stopCleanly(next)
  assert.ok(!existsSync(pidFile))
})
