/** How the programs start, take signals, run in the background and end. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  ASSISTANT,
  INTERCEPT,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  startReady,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { counter, hasMessage, lastStatistics } from '../../../lab/hosts/json-log.ts'
import { finishCopy } from '../support/books.ts'
import { statisticsOf, stopCleanly, until, untilSame } from '../support/waiting.ts'

const COPY = ['-x', MAP, '-s', ASSISTANT]
const ANSWERS = ['-i', 'eth0', '-F', `tcp and src port ${PORT}`]

/** TCP ports in state LISTEN on this host. */
async function listeningPorts(host: Host): Promise<number[]> {
  const lines = (await host.mustRun('ss', ['-H', '-ltn'])).split('\n').filter(Boolean)
  return lines.map((line) => Number(/:(\d+)\s/.exec(line)?.[1])).sort((a, b) => a - b)
}

test('SIGUSR2 prints the statistics, as text and as JSON, and the program keeps running', async () => {
  await using lab = await openCopyLab()
  const intercept = await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  assert.equal(counter(await statisticsOf(tcpcopy), 'channelsOpen'), 2)
  assert.equal(counter(await statisticsOf(intercept), 'peersOpen'), 2)
  const inText = lab.hosts.source.spawn(TCPCOPY, [...COPY, '-f', '1'])
  await inText.waitForLine('stderr', (line) => line.includes(' connected to intercept'))
  inText.signal('SIGUSR2')
  await inText.waitForLine('stderr', (line) => /^.{24} statistics: 0 requests\/s, 0 connections$/.test(line))
  assert.equal(inText.exit, undefined)
  await stopCleanly(inText)
  assert.equal(inText.stdout, '')
})

test("SIGUSR1, which opens Node's inspector by default, opens no port, neither at start-up nor later", async () => {
  await using lab = await openCopyLab()
  const { source, assistant } = lab.hosts
  for (const [host, path, args] of [
    [source, TCPCOPY, COPY],
    [assistant, INTERCEPT, ANSWERS]
  ] as const) {
    const program = host.spawn(path, [...args, '--log-format', 'json'])
    const isReady = program.waitForLine('stderr', (line) => hasMessage(line, 'ready'), 20_000)
    // Before the process has become Node, the signal would end it.
    const isNode = (): boolean => readlinkOf(`/proc/${program.pid}/exe`) === process.execPath
    await until('the program is Node', isNode)
    let isWaiting = true
    void isReady.finally(() => {
      isWaiting = false
    })
    while (isWaiting) {
      if (handlesSigusr1(program.pid)) program.signal('SIGUSR1')
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    await isReady
    assert.deepEqual(await listeningPorts(host), host === assistant ? [36524] : [])
    // Node may have opened it before our code ran; then it has been closed, and from now on stays closed.
    const opened = program.stderr.match(/Debugger listening/g)?.length ?? 0
    for (let count = 0; count < 10; count++) {
      program.signal('SIGUSR1')
      await statisticsOf(program)
    }
    assert.equal(program.stderr.match(/Debugger listening/g)?.length ?? 0, opened)
    assert.deepEqual(await listeningPorts(host), host === assistant ? [36524] : [])
    await stopCleanly(program)
  }
})

function readlinkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** Whether a process has a handler; without one the signal ends it. */
function handlesSigusr1(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0'
  return (BigInt(`0x${caught}`) & (1n << 9n)) !== 0n
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends tcpcopy with status 0: statistics are logged, its connections at the target and its pid file are gone`, async () => {
    await using lab = await openCopyLab()
    const { client, target } = lab.hosts
    const redis = await lab.startRedisPair()
    const intercept = await lab.startIntercept()
    const pidFile = join(lab.folder, 'tcpcopy.pid')
    const tcpcopy = await lab.startTcpcopy([...COPY, '-P', pidFile])
    assert.equal(readFileSync(pidFile, 'utf8'), `${tcpcopy.pid}\n`)
    const open = `for (let i = 0; i < 10; i++) require('net').connect(${PORT}, '${SOURCE}').write('INCR open\\r\\n')`
    client.spawn(process.execPath, ['-e', open])
    await until('the target has served all requests', async () => (await redis.target.requestCount()) === 10)
    const established = async () => await target.mustRun('ss', ['-H', '-tn', 'state', 'established'])
    assert.equal((await established()).trim().split('\n').length, 10)
    if (signal === 'SIGTERM') await finishCopy(tcpcopy)
    else await stopCleanly(tcpcopy, signal)
    const books = lastStatistics(tcpcopy.stderr) ?? {}
    assert.equal(books.sessionsStarted, 10)
    assert.equal(books.sessionsEnded, 10)
    await until('nothing is established at the target', async () => (await established()).trim() === '')
    assert.ok(!existsSync(pidFile))
    await stopCleanly(intercept, signal)
    assert.equal(counter(lastStatistics(intercept.stderr), 'peersAccepted'), 2)
  })
}

test('with -d the starter returns when the program is ready, and the pid file names the program', async () => {
  await using lab = await openCopyLab()
  const { source, assistant } = lab.hosts
  const redis = await lab.startRedisPair()
  const programs = [
    { host: assistant, path: INTERCEPT, args: ANSWERS, name: 'intercept' },
    { host: source, path: TCPCOPY, args: COPY, name: 'tcpcopy' }
  ]
  const pids: number[] = []
  for (const { host, path, args, name } of programs) {
    const files = ['-l', join(lab.folder, `${name}.log`), '-P', join(lab.folder, `${name}.pid`)]
    const starter = await host.run(path, [...args, ...files, '-d', '--log-format', 'json'])
    const pid = Number(readFileSync(join(lab.folder, `${name}.pid`), 'utf8'))
    assert.equal(starter.status, 0)
    assert.equal(
      starter.stdout,
      `${name} runs in the background: process ${pid}, log ${join(lab.folder, `${name}.log`)}\n`
    )
    // What it warned of at its start.
    if (name === 'tcpcopy') assert.equal(starter.stderr, '')
    else assert.match(starter.stderr, /^intercept: any host that can reach port 36524/)
    assert.ok(readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(name))
    const log = readFileSync(join(lab.folder, `${name}.log`), 'utf8')
    assert.ok(log.split('\n').some((line) => hasMessage(line, 'ready')))
    pids.push(pid)
  }
  assert.equal(await lab.ask('SET', 'from', 'behind'), 'OK')
  await untilSame(redis.source, redis.target)

  // After a log rotation: SIGHUP reopens the file.
  const logPath = join(lab.folder, 'tcpcopy.log')
  const [interceptPid = 0, tcpcopyPid = 0] = pids
  renameSync(logPath, `${logPath}.1`)
  process.kill(tcpcopyPid, 'SIGHUP')
  await until('the new log is there', () => existsSync(logPath))

  for (const pid of [tcpcopyPid, interceptPid]) {
    process.kill(pid, 'SIGTERM')
    await until(`${pid} is gone`, () => !isRunning(pid))
  }
  assert.deepEqual(
    readdirSync(lab.folder).filter((name) => name.endsWith('.pid')),
    []
  )
  assert.equal(counter(lastStatistics(readFileSync(logPath, 'utf8')), 'unaccountedBytes'), 0)
})

/** Whether a process exists and is not a zombie. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

test('with -d, the starter says that intercept is not reachable', async () => {
  await using lab = await openCopyLab()
  const [log, pidFile] = [join(lab.folder, 'log'), join(lab.folder, 'pid')]
  const { status, stdout, stderr } = await lab.hosts.source.run(TCPCOPY, [...COPY, '-d', '-l', log, '-P', pidFile])
  assert.equal(status, 0)
  const pid = Number(/process (\d+), log /.exec(stdout)?.[1])
  assert.match(stderr, /^tcpcopy: not connected to intercept; .*10\.77\.0\.3:36524.*\n {2}Check that intercept runs/)
  process.kill(pid, 'SIGTERM')
  await until(`${pid} is gone`, () => !isRunning(pid))
})

test('with -d, a program that cannot start says why, and the starter exits with status 1', async () => {
  await using lab = await openCopyLab()
  const log = ['-l', join(lab.folder, 'log'), '-P', join(lab.folder, 'pid')]
  const starter = await lab.hosts.assistant.run(INTERCEPT, ['-i', 'eth9', '-F', 'tcp', '-d', ...log])
  assert.equal(starter.status, 1)
  assert.match(starter.stderr, /eth9/)
  assert.equal(starter.stderr.match(/^intercept: /gm)?.length, 1, starter.stderr)
  assert.ok(!existsSync(join(lab.folder, 'pid')))
})

test('both programs run through symbolic links in any folder', async () => {
  await using lab = await openCopyLab()
  const folder = join(lab.folder, 'links')
  mkdirSync(folder)
  for (const [name, path] of [
    ['tcpcopy', TCPCOPY],
    ['intercept', INTERCEPT]
  ] as const) {
    symlinkSync(path, join(folder, name))
    symlinkSync(join(folder, name), join(folder, `${name}-again`))
  }
  const redis = await lab.startRedisPair()
  const intercept = await startReady(lab.hosts.assistant, join(folder, 'intercept-again'), ANSWERS)
  const tcpcopy = await startReady(lab.hosts.source, join(folder, 'tcpcopy'), COPY)
  assert.equal(await lab.ask('SET', 'a', 'b'), 'OK')
  await untilSame(redis.source, redis.target)
  await finishCopy(tcpcopy)
  // The launcher replaces itself: the PID that was started is the program.
  assert.ok(readFileSync(`/proc/${intercept.pid}/cmdline`, 'latin1').includes('intercept-again'))
})
