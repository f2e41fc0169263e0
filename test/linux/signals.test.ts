/** The life of the programs: ready, signals, background, end. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Host } from '../../lab/hosts/host.ts'
import { counter, hasMessage, lastStatistics } from '../../lab/hosts/json-log.ts'
import {
  ASSISTANT,
  finishAndReadBooks,
  INTERCEPT,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  startReady,
  statisticsOf,
  TCPCOPY,
  until,
  untilSame
} from './support/copy-lab.ts'

const COPY = ['-x', MAP, '-s', ASSISTANT]
const ANSWERS = ['-i', 'eth0', '-F', `tcp and src port ${PORT}`]

/** Local ports that somebody on this host listens on. */
async function listeningPorts(host: Host): Promise<number[]> {
  const lines = (await host.mustRun('ss', ['-H', '-ltn'])).split('\n').filter(Boolean)
  return lines.map((line) => Number(/:(\d+)\s/.exec(line)?.[1])).sort((a, b) => a - b)
}

test('SIGUSR2 prints the statistics, in words and as JSON, and the program goes on', async () => {
  await using lab = await openCopyLab()
  const intercept = await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  assert.equal(counter(await statisticsOf(tcpcopy), 'channelsOpen'), 2)
  assert.equal(counter(await statisticsOf(intercept), 'peersOpen'), 2)
  const inWords = lab.hosts.source.spawn(TCPCOPY, COPY)
  await inWords.waitForLine('stderr', (line) => line.includes('ready'))
  inWords.signal('SIGUSR2')
  await inWords.waitForLine('stderr', (line) =>
    /statistics: sessions 0 live, 0 in all; requests 0; .*lost 0 B/.test(line)
  )
  assert.equal(inWords.exit, undefined)
  assert.equal((await inWords.stop()).status, 0)
  assert.equal(inWords.stdout, '')
})

test("SIGUSR1 leaves no port open, neither while a program starts nor when it runs: elsewhere it is Node's inspector", async () => {
  await using lab = await openCopyLab()
  const { source, assistant } = lab.hosts
  for (const [host, path, args] of [
    [source, TCPCOPY, COPY],
    [assistant, INTERCEPT, ANSWERS]
  ] as const) {
    const program = host.spawn(path, [...args, '--log-format', 'json'])
    const isReady = program.waitForLine('stderr', (line) => hasMessage(line, 'ready'), 20_000)
    // From the moment that it is Node; before, the signal ends any program.
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
    // Node itself may have opened it before a line of ours ran; then it is closed again, and from now on never opened.
    const opened = program.stderr.match(/Debugger listening/g)?.length ?? 0
    for (let count = 0; count < 10; count++) {
      program.signal('SIGUSR1')
      await statisticsOf(program)
    }
    assert.equal(program.stderr.match(/Debugger listening/g)?.length ?? 0, opened)
    assert.deepEqual(await listeningPorts(host), host === assistant ? [36524] : [])
    assert.equal((await program.stop()).status, 0)
  }
})

function readlinkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

/** Until a process has a handler, the signal ends it, as it ends any. */
function handlesSigusr1(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? '0'
  return (BigInt(`0x${caught}`) & (1n << 9n)) !== 0n
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} ends tcpcopy with its statistics, exit 0, no connection left at the target, and no pid file`, async () => {
    await using lab = await openCopyLab()
    const { client, target } = lab.hosts
    const redis = await lab.startRedisPair()
    const intercept = await lab.startIntercept()
    const pidFile = join(lab.folder, 'tcpcopy.pid')
    const tcpcopy = await lab.startTcpcopy([...COPY, '-P', pidFile])
    assert.equal(readFileSync(pidFile, 'utf8'), `${tcpcopy.pid}\n`)
    const open = `for (let i = 0; i < 10; i++) require('net').connect(${PORT}, '${SOURCE}').write('INCR open\\r\\n')`
    client.spawn(process.execPath, ['-e', open])
    await until('all are served', async () => (await redis.target.requestCount()) === 10)
    const established = async () => await target.mustRun('ss', ['-H', '-tn', 'state', 'established'])
    assert.equal((await established()).trim().split('\n').length, 10)
    if (signal === 'SIGINT') assert.deepEqual(await tcpcopy.stop(signal), { status: 0, signal: null })
    const books = signal === 'SIGTERM' ? await finishAndReadBooks(tcpcopy) : (lastStatistics(tcpcopy.stderr) ?? {})
    assert.equal(books.sessionsStarted, 10)
    assert.equal(books.sessionsEnded, 10)
    await until('nothing is established at the target', async () => (await established()).trim() === '')
    assert.ok(!existsSync(pidFile))
    assert.deepEqual(await intercept.stop(signal), { status: 0, signal: null })
    assert.equal(counter(lastStatistics(intercept.stderr), 'peersAccepted'), 2)
  })
}

test('in the background, the starter returns when the program is ready, and its pid file names what runs', async () => {
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
    assert.deepEqual([starter.status, starter.stdout, starter.stderr], [0, '', ''])
    const pid = Number(readFileSync(join(lab.folder, `${name}.pid`), 'utf8'))
    assert.ok(readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(name))
    const log = readFileSync(join(lab.folder, `${name}.log`), 'utf8')
    assert.ok(log.split('\n').some((line) => hasMessage(line, 'ready')))
    pids.push(pid)
  }
  assert.equal(await lab.ask('SET', 'from', 'behind'), 'OK')
  await untilSame(redis.source, redis.target)

  // A rotated log: SIGHUP opens the file anew.
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

/** A process that only its parent has not buried yet does not run. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

test('a program in the background that cannot start says why, and its starter exits 1', async () => {
  await using lab = await openCopyLab()
  const log = ['-l', join(lab.folder, 'log'), '-P', join(lab.folder, 'pid')]
  const starter = await lab.hosts.assistant.run(INTERCEPT, ['-i', 'eth9', '-F', 'tcp', '-d', ...log])
  assert.equal(starter.status, 1)
  assert.match(starter.stderr, /eth9/)
  assert.equal(starter.stderr.match(/^intercept: /gm)?.length, 1, starter.stderr)
  assert.ok(!existsSync(join(lab.folder, 'pid')))
})

test('both programs run through symbolic links, from any folder', async () => {
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
  await finishAndReadBooks(tcpcopy)
  // One process each: the PID that was started is the program.
  assert.ok(readFileSync(`/proc/${intercept.pid}/cmdline`, 'latin1').includes('intercept-again'))
})
