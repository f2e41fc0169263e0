/** Both versions of the channel between the real programs, secrets, and two tcpcopy with one client. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  ASSISTANT,
  CONNECTED,
  type CopyLab,
  INTERCEPT,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { LogEntry } from '../../../lab/hosts/json-log.ts'
import { finishCopy } from '../support/books.ts'
import { benchmark, SETS } from '../support/client-loads.ts'
import { type Copy, type CopyPlan, copied, startCopy } from '../support/copied.ts'
import { statisticsOf, stopCleanly, untilCounter, untilSame } from '../support/waiting.ts'

/** The ring holds a whole load, however little CPU time tcpcopy gets. */
const RING = ['-B', '128']
const COPY = ['-x', MAP, '-s', ASSISTANT, ...RING]
const VERSION_1 = ['--channel-version', '1']
const NO_REPLY = 'connected to intercept (version 1, no reply yet)'

/** A copy by programs with these options. */
function channel(intercept: readonly string[], tcpcopy: readonly string[], connected = NO_REPLY): CopyPlan {
  return { intercept, tcpcopy: [...RING, ...tcpcopy], connected }
}

/** Copies a load. @returns intercept's statistics after it */
async function copyLoad(copy: Copy): Promise<LogEntry> {
  await benchmark(copy.hosts.client, SOURCE, ...SETS, '-n', '5000', '-c', '20', '-d', '5000')
  await copy.untilSame()
  return await statisticsOf(copy.intercept)
}

copied('version 2 copies every command, with fewer records than packets', channel([], [], CONNECTED), async (copy) => {
  const answers = await copyLoad(copy)
  const books = await copy.finish()
  const { stderr } = copy.intercept
  assert.match(stderr, /"message":"tcpcopy connected",[^\n]*"version":2/)
  assert.ok(Number(answers.records) < Number(answers.forwardedHeaders), 'no records were merged')
  assert.ok(Number(books.channelBytes) < 64 * Number(answers.forwardedHeaders))
  // Its clients do not pause: most requests wait for the answer to the one before.
  const [p50 = 0, p90 = 0, p99 = 0, max = 0] = ['p50', 'p90', 'p99', 'max'].map((name) => books[`latency.${name}`])
  assert.ok(Number(books['latency.requests']) > 0)
  assert.ok(p50 > 0 && p50 <= p90 && p90 <= p99 && p99 <= max, `${[p50, p90, p99, max]}`)
  assert.match(stderr, /any host that can reach port 36524/)
})

copied(
  'this tcpcopy works with an intercept that knows only version 1',
  { ...channel(VERSION_1, []), books: { 'latency.requests': 0 } },
  async (copy) => assert.equal((await copyLoad(copy)).records, 0)
)

copied('this intercept works with a tcpcopy that knows only version 1', channel([], VERSION_1), async (copy) => {
  assert.equal((await copyLoad(copy)).records, 0)
})

const BUILDS = [
  { flags: ['--disable-combined'], answerBytes: 64 },
  { flags: ['--with-resp-payload'], answerBytes: 192 },
  { flags: ['--single'], answerBytes: 64 },
  { flags: ['--single', '--with-resp-payload'], answerBytes: 192 }
] as const

for (const { flags, answerBytes } of BUILDS) {
  const books = { channelBytes: (count: number, { answers = 0 }) => count >= answerBytes * answers }
  copied(
    `programs with ${flags.join(' and ')}, as if built that way, copy every command`,
    { ...channel(flags, flags), books },
    async (copy) => {
      const { records, routes } = await copyLoad(copy)
      assert.equal(records, 0)
      assert.equal(Number(routes) > 0, !flags.some((flag) => flag === '--single'))
      assert.match(copy.intercept.stderr, /"message":"tcpcopy connected",[^\n]*"version":1/)
    }
  )
}

test('in single mode, with -c a second tcpcopy is refused; without -c it replaces the first', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const single = ['--single', '-C', '1']
  for (const keepFirst of [['-c'], []]) {
    const intercept = await lab.startIntercept(['--single', ...keepFirst])
    const first = await lab.startTcpcopy([...COPY, ...single], false)
    await untilCounter(intercept, 'peersOpen', (count) => count === 1)
    assert.equal(await lab.ask('SET', 'key', keepFirst.join()), 'OK')
    await untilSame(redis.source, redis.target)
    // Until then a connection counts as one of the first tcpcopy's.
    await new Promise((resolve) => setTimeout(resolve, 3100))
    const other = await lab.startTcpcopy(['-x', `${PORT + 1}-${TARGET}:${PORT}`, '-s', ASSISTANT, ...single], false)
    const words = keepFirst.length > 0 ? 'another tcpcopy is connected' : 'another tcpcopy took its place'
    await intercept.waitForLine('stderr', (line) => line.includes(words))
    await finishCopy(other)
    await finishCopy(first)
    await stopCleanly(intercept)
  }
})

test('programs with different build options do not work together, and tcpcopy says what to check', async () => {
  await using lab = await openCopyLab()
  await lab.startRedisPair()
  await lab.startIntercept(['--disable-combined'])
  const tcpcopy = await lab.startTcpcopy([...COPY, '--with-resp-payload'], false)
  assert.equal(await lab.ask('SET', 'key', '1'), 'OK')
  await tcpcopy.waitForLine('stderr', (line) => line.includes('the same --disable-combined or --with-resp-payload'))
})

/** A file with a secret. @returns the option that names it */
function secretFile(lab: CopyLab, name: string, text: string, mode = 0o600): readonly string[] {
  const path = join(lab.folder, name)
  writeFileSync(path, text, { mode })
  return ['--secret-file', path]
}

test('the same secret on both sides opens the channel', async () => {
  await using lab = await openCopyLab()
  const one = secretFile(lab, 'one', 'correct horse battery staple\n')
  const same = secretFile(lab, 'same', 'correct horse battery staple')
  const copy = await startCopy(lab, channel(one, same, CONNECTED))
  await copyLoad(copy)
  await copy.end()
  assert.doesNotMatch(copy.intercept.stderr, /any host that can reach port 36524/)
})

test('a wrong secret, or a secret on one side only, is refused, and both sides say why', async () => {
  await using lab = await openCopyLab()
  const one = secretFile(lab, 'one', 'correct horse battery staple')
  const other = secretFile(lab, 'other', 'incorrect horse battery staple')
  const cases = [
    [one, other, 'it has a different secret: give both programs the same --secret-file', 'it has a different secret'],
    [one, [], 'it requires a secret: give tcpcopy the same --secret-file', undefined],
    [one, VERSION_1, 'it closed the connection', 'it speaks version 1 of the channel, which does not support secrets'],
    [[], one, 'it has no secret: give intercept the same --secret-file', 'it has a secret and intercept has none'],
    [VERSION_1, one, 'it speaks version 1 of the channel, which does not support --secret-file', undefined]
  ] as const
  for (const [interceptArgs, copyArgs, atTcpcopy, atIntercept] of cases) {
    const intercept = await lab.startIntercept(interceptArgs)
    const tcpcopy = await lab.startTcpcopy([...COPY, ...copyArgs], false)
    await tcpcopy.waitForLine('stderr', (line) => line.includes(`"reason":"${atTcpcopy}`), 20_000)
    if (atIntercept !== undefined) {
      await intercept.waitForLine('stderr', (line) => line.includes(`"reason":"${atIntercept}`), 20_000)
      await untilCounter(intercept, 'peersUnproven', (count) => count > 0)
    }
    await finishCopy(tcpcopy)
    await stopCleanly(intercept)
  }
})

test('with an unusable secret file either program exits at its start and says why', async () => {
  await using lab = await openCopyLab()
  const files = [
    [['--secret-file', join(lab.folder, 'absent')], /cannot be read\n {2}Create it: head/],
    [secretFile(lab, 'short', 'short\n'), /has 5 bytes\n {2}Use 16 to 4096/],
    [
      secretFile(lab, 'open', 'correct horse battery staple', 0o644),
      /every user of this host can read or write .*\n {2}Restrict its permissions: chmod 600/
    ]
  ] as const
  for (const [secret, words] of files) {
    for (const [program, args] of [
      [TCPCOPY, COPY],
      [INTERCEPT, ['-F', 'tcp']]
    ] as const) {
      const started = lab.hosts.source.spawn(program, [...args, ...secret])
      assert.deepEqual(await started.exited, { status: 1, signal: null })
      assert.match(started.stderr, words)
    }
  }
})

/** One connection from a given port that sends one request after the other until SIGTERM. */
const askFrom = `
const [host, port, localPort, key] = process.argv.slice(1)
const socket = require('net').connect({ host, port: Number(port), localPort: Number(localPort) })
const ask = () => socket.write('INCR ' + key + '\\r\\n')
let isEnding = false
process.on('SIGTERM', () => { isEnding = true })
socket.on('connect', () => { console.log('on'); ask() })
socket.on('data', () => { if (isEnding) socket.end(); else setTimeout(ask, 5) })
`

test('of two tcpcopy with the same client port, the second uses another port and the first goes on', async () => {
  await using lab = await openCopyLab()
  const { client } = lab.hosts
  const otherPort = 6400
  const sources = [(await lab.startRedisPair()).source, (await lab.startRedisPair(otherPort)).source]
  const intercept = await lab.startIntercept()
  const one = await lab.startTcpcopy()
  const two = await lab.startTcpcopy(['-x', `${otherPort}-${TARGET}:${PORT}`, '-s', ASSISTANT])
  const ask = async (port: number, key: string) => {
    const asking = client.spawn(process.execPath, ['-e', askFrom, SOURCE, `${port}`, '25123', key])
    await asking.waitForLine('stdout', (line) => line === 'on')
    return asking
  }
  const first = await ask(PORT, 'first')
  await untilCounter(one, 'epochs', (count) => count > 20)
  const second = await ask(otherPort, 'second')
  await untilCounter(two, 'epochs', (count) => count > 20)
  const { epochs } = await statisticsOf(one)
  await untilCounter(one, 'epochs', (count) => count > Number(epochs) + 20)
  for (const asking of [first, second]) await stopCleanly(asking)
  for (const tcpcopy of [one, two]) await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 1)
  const counts = await Promise.all(sources.map((source) => source.requestCount()))
  assert.deepEqual([await lab.askTarget('GET', 'first'), await lab.askTarget('GET', 'second')], counts.map(String))
  assert.equal((await statisticsOf(intercept)).routesTaken, 1)
  await finishCopy(one, { portsMoved: 0, sessionsReset: 0 })
  await finishCopy(two, { portsMoved: 1, sessionsReset: 0 })
})
