/** A copy in the lab, and what tests ask of it. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CopyLab, OWN_PROGRAMS, PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { hasMessage, type LogEntry, lastStatistics } from '../../../lab/hosts/json-log.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import type { Redis } from '../../../lab/job/redis.ts'

export {
  ASSISTANT,
  ASSISTANT_6,
  CLIENT,
  CLIENT_6,
  type CopyLab,
  MAP,
  openCopyLab,
  PORT,
  ROOT,
  SOURCE,
  SOURCE_6,
  startReady,
  TARGET,
  TARGET_6
} from '../../../lab/hosts/copy-lab.ts'

export const TCPCOPY = OWN_PROGRAMS.tcpcopy
export const INTERCEPT = OWN_PROGRAMS.intercept

/** Far more than anything here takes; it bounds a test that fails. */
const PATIENCE_MS = 20_000

/** Waits until the condition holds. @throws AssertionError that says what did not come about */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; !(await condition()); await sleep(20)) {
    assert.ok(performance.now() < deadline, `in ${PATIENCE_MS} ms it did not come about: ${what}`)
  }
}

/** Waits until both servers have had the same number of commands, and holds their data to be the same. */
export async function untilSame(source: Redis, target: Redis): Promise<void> {
  const expected = await source.requestCount()
  await until(`the target has had ${expected} commands`, async () => (await target.requestCount()) >= expected)
  assert.equal(await target.requestCount(), expected)
  assert.equal(await target.digest(), await source.digest())
}

/** The statistics that a program of ours writes now, on SIGUSR2. */
export async function statisticsOf(program: Program): Promise<LogEntry> {
  const count = (): number => program.stderr.split('\n').filter((line) => hasMessage(line, 'statistics')).length
  const before = count()
  program.signal('SIGUSR2')
  await until(`${program.name} writes statistics`, () => count() > before)
  return lastStatistics(program.stderr) ?? {}
}

/** Waits until a counter of a program's statistics is as the condition wants it. */
export async function untilCounter(program: Program, name: string, isRight: (count: number) => boolean): Promise<void> {
  let last: unknown
  const isReached = async (): Promise<boolean> => {
    last = (await statisticsOf(program))[name] ?? 0
    return typeof last === 'number' && isRight(last)
  }
  await until(`${program.name} counts ${name} as awaited`, isReached).catch((error: unknown) => {
    throw new Error(`${name} is ${last}`, { cause: error })
  })
}

/**
 * Waits until the target has acknowledged what it was sent, and ends tcpcopy: that it has had the last request does not
 * mean that its acknowledgment came back. @returns the final statistics
 */
export async function finishAndReadBooks(tcpcopy: Program): Promise<Readonly<Record<string, number>>> {
  await untilCounter(tcpcopy, 'pendingBytes', (count) => count === 0)
  return await stopAndReadBooks(tcpcopy)
}

/** Ends tcpcopy as an operator does: exit 0, and books that close. @returns the final statistics */
export async function stopAndReadBooks(tcpcopy: Program): Promise<Readonly<Record<string, number>>> {
  assert.deepEqual(await tcpcopy.stop(), { status: 0, signal: null }, tcpcopy.stderr)
  const entries = Object.entries(lastStatistics(tcpcopy.stderr) ?? {})
  const counters = Object.fromEntries(
    entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  )
  const sum = (names: readonly string[]): number => names.reduce((total, name) => total + (counters[name] ?? 0), 0)
  const drops = Object.keys(counters).filter((name) => /^dropped\..*\.bytes$/.test(name))
  assert.equal(counters.unaccountedBytes, 0, JSON.stringify(counters))
  assert.equal(counters.capturedPayloadBytes, sum(['deliveredBytes', 'duplicateBytes', 'pendingBytes', ...drops]))
  assert.equal(counters.pendingBytes, 0)
  assert.equal(counters.poolUsedBytes, 0)
  assert.equal(counters.sessionsStarted, counters.sessionsEnded)
  return counters
}

/** A host's counters of TCP since it was made, by the kernel's names: `Tcp.RetransSegs`, `TcpExt.TCPLossProbes`. */
export async function tcpCounters(host: Host): Promise<ReadonlyMap<string, number>> {
  const lines = (await host.mustRun('cat', ['/proc/net/snmp', '/proc/net/netstat'])).trim().split('\n')
  const counters = new Map<string, number>()
  // Each line of names is followed by one of values.
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const [group, ...names] = lines[at]?.split(' ') ?? []
    const values = lines[at + 1]?.split(' ').slice(1) ?? []
    for (const [index, name] of names.entries())
      counters.set(`${group}${name}`.replace(':', '.'), Number(values[index]))
  }
  return counters
}

/** Prints "on" when all are connected, and ends at SIGTERM when all answers are there. */
const steadyLoad = `
const [host, port, connections] = process.argv.slice(1)
let isEnding = false
let open = 0
process.on('SIGTERM', () => { isEnding = true })
for (let index = 0; index < Number(connections); index++) {
  const socket = require('net').connect(Number(port), host)
  const ask = () => socket.write('INCR steady' + index + '\\r\\n')
  socket.on('connect', () => { if (++open === Number(connections)) console.log('on'); ask() })
  socket.on('data', () => { if (isEnding) socket.end(); else setTimeout(ask, 2) })
  socket.on('error', (error) => { console.error(error.message); process.exit(1) })
}
`

/** Connections that each send one INCR at a time, for ever: a command for each answer, with a pause. */
export async function startSteadyLoad(client: Host, connections: number): Promise<Program> {
  const load = client.spawn(process.execPath, ['-e', steadyLoad, SOURCE, `${PORT}`, `${connections}`])
  await load.waitForLine('stdout', (line) => line === 'on')
  return load
}

/** Ends a load that ends at SIGTERM once all its answers are there. */
export async function endLoad(load: Program): Promise<void> {
  assert.deepEqual(await load.stop(), { status: 0, signal: null }, load.stderr)
}

/**
 * Small requests, large ones, and such on connections of their own, to the source. Each load has its own keys: the copies
 * of one may still be under way when the next begins, and what two of them set would depend on that.
 */
export async function loadOfAllSizes(client: Host): Promise<void> {
  for (const [name, size, ...args] of [
    ['small', 3, '-c', '30', '-n', '3000'],
    ['large', 100_000, '-c', '5', '-n', '50'],
    ['short', 3, '-c', '10', '-n', '200', '-k', '0']
  ] as const) {
    const set = ['SET', `${name}:__rand_int__`, 'x'.repeat(size)]
    await client.mustRun('redis-benchmark', ['-h', SOURCE, '-p', `${PORT}`, '-r', '2000000000', '-q', ...args, ...set])
  }
}

/** Asks the target's server itself, from the assistant: a real client of it, which gives up after a while. @returns its answer */
export async function askTargetFromOutside(lab: CopyLab, target: string, patienceMs = 10_000): Promise<string> {
  const ask = `const socket = require('net').connect(${PORT}, '${target}', () => socket.write('PING\\r\\n'))
    socket.on('data', (data) => { process.stdout.write(data); socket.destroy() })
    setTimeout(() => socket.destroy(), ${patienceMs}).unref()`
  return (await lab.runScript(lab.hosts.assistant, ask)).trim()
}
