/** Both versions of the channel between the programs as they are started, secrets, and two tcpcopy with one client. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasMessage } from '../../lab/hosts/json-log.ts'
import {
  ASSISTANT,
  type CopyLab,
  finishAndReadBooks,
  INTERCEPT,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  statisticsOf,
  TARGET,
  TCPCOPY,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'

/** The ring holds all of a load, however little of the machine is left for it. */
const COPY = ['-x', MAP, '-s', ASSISTANT, '-B', '128']
const VERSION_1 = ['--channel-version', '1']
const NO_REPLY = 'connected to intercept (version 1, no reply yet)'

/** What redis-benchmark has sent arrives, and the books close. @returns the statistics of both at the end */
async function copyLoad(lab: CopyLab, interceptArgs: readonly string[], copyArgs: readonly string[], word: string) {
  const redis = await lab.startRedisPair()
  const intercept = await lab.startIntercept(interceptArgs)
  const tcpcopy = await lab.startTcpcopy([...COPY, ...copyArgs], false)
  await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, word))
  const load = ['-h', SOURCE, '-t', 'set', '-r', '100000', '-n', '5000', '-c', '20', '-d', '5000']
  await lab.hosts.client.mustRun('redis-benchmark', load)
  await untilSame(redis.source, redis.target)
  const answers = await statisticsOf(intercept)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0)
  return { books, answers, intercept }
}

test('version 2 copies every command, in fewer records than packets', async () => {
  await using lab = await openCopyLab()
  const { books, answers, intercept } = await copyLoad(lab, [], [], 'connected to intercept')
  assert.match(intercept.stderr, /"message":"tcpcopy connected",[^\n]*"version":2/)
  assert.ok(Number(answers.records) < Number(answers.forwardedHeaders), 'nothing was put together')
  assert.ok(Number(books.channelBytes) < 64 * Number(answers.forwardedHeaders))
  // Its clients do not pause: most requests wait for the answer to the one before.
  const [p50 = 0, p90 = 0, p99 = 0, max = 0] = ['p50', 'p90', 'p99', 'max'].map((name) => books[`latency.${name}`])
  assert.ok(Number(books['latency.requests']) > 0)
  assert.ok(p50 > 0 && p50 <= p90 && p90 <= p99 && p99 <= max, `${[p50, p90, p99, max]}`)
  assert.match(intercept.stderr, /any host that reaches the port/)
})

test('tcpcopy of ours and an intercept that knows only version 1', async () => {
  await using lab = await openCopyLab()
  const { answers, books } = await copyLoad(lab, VERSION_1, [], NO_REPLY)
  assert.equal(answers.records, 0)
  assert.equal(books['latency.requests'], 0)
})

test('intercept of ours and a tcpcopy that knows only version 1', async () => {
  await using lab = await openCopyLab()
  const { answers } = await copyLoad(lab, [], VERSION_1, NO_REPLY)
  assert.equal(answers.records, 0)
})

const BUILDS = [
  { flags: ['--disable-combined'], octets: 64 },
  { flags: ['--with-resp-payload'], octets: 192 },
  { flags: ['--single'], octets: 64 },
  { flags: ['--single', '--with-resp-payload'], octets: 192 }
] as const

for (const { flags, octets } of BUILDS) {
  test(`programs that are built as with ${flags.join(' and ')} copy every command`, async () => {
    await using lab = await openCopyLab()
    const { books, answers, intercept } = await copyLoad(lab, flags, flags, NO_REPLY)
    assert.equal(answers.records, 0)
    assert.ok(Number(books.channelBytes) >= octets * Number(books.answers))
    assert.equal(Number(answers.routes) > 0, !flags.some((flag) => flag === '--single'))
    assert.match(intercept.stderr, /"message":"tcpcopy connected",[^\n]*"version":1/)
  })
}

test('in single mode a later tcpcopy is refused with -c, and takes over without', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const single = ['--single', '-C', '1']
  for (const keepFirst of [['-c'], []]) {
    const intercept = await lab.startIntercept(['--single', ...keepFirst])
    const first = await lab.startTcpcopy([...COPY, ...single], false)
    await untilCounter(intercept, 'peersOpen', (count) => count === 1)
    assert.equal(await lab.ask('SET', 'key', keepFirst.join()), 'OK')
    await untilSame(redis.source, redis.target)
    // So long is a connection taken for one of the first's.
    await new Promise((resolve) => setTimeout(resolve, 3100))
    const other = await lab.startTcpcopy(['-x', `${PORT + 1}-${TARGET}:${PORT}`, '-s', ASSISTANT, ...single], false)
    const words = keepFirst.length > 0 ? 'another tcpcopy is there' : 'another tcpcopy has taken its place'
    await intercept.waitForLine('stderr', (line) => line.includes(words))
    await finishAndReadBooks(other)
    assert.equal((await finishAndReadBooks(first)).droppedBytes, 0)
    assert.deepEqual(await intercept.stop(), { status: 0, signal: null })
  }
})

test('programs that are built otherwise part, and tcpcopy says what to look at', async () => {
  await using lab = await openCopyLab()
  await lab.startRedisPair()
  await lab.startIntercept(['--disable-combined'])
  const tcpcopy = await lab.startTcpcopy([...COPY, '--with-resp-payload'], false)
  assert.equal(await lab.ask('SET', 'key', '1'), 'OK')
  await tcpcopy.waitForLine('stderr', (line) => line.includes('the same --disable-combined or --with-resp-payload'))
})

function secretFile(lab: CopyLab, name: string, text: string, mode = 0o600): string {
  const path = join(lab.folder, name)
  writeFileSync(path, text, { mode })
  return path
}

test('the same secret on both sides opens the channel', async () => {
  await using lab = await openCopyLab()
  const one = secretFile(lab, 'one', 'correct horse battery staple\n')
  const same = secretFile(lab, 'same', 'correct horse battery staple')
  const { intercept } = await copyLoad(lab, ['--secret-file', one], ['--secret-file', same], 'connected to intercept')
  assert.doesNotMatch(intercept.stderr, /any host that reaches the port/)
})

test('another secret, or none on one side, is refused in words on both sides', async () => {
  await using lab = await openCopyLab()
  const one = ['--secret-file', secretFile(lab, 'one', 'correct horse battery staple')]
  const other = ['--secret-file', secretFile(lab, 'other', 'incorrect horse battery staple')]
  const cases = [
    [one, other, 'it has another secret: give both programs the same --secret-file', 'its secret is another'],
    [one, [], 'it asks for a secret: give tcpcopy its --secret-file', undefined],
    [one, VERSION_1, 'it closed the connection', 'it speaks version 1 of the channel, which cannot prove a secret'],
    [[], one, 'it has no secret: give intercept the same --secret-file', 'it has a secret and intercept has none'],
    [VERSION_1, one, 'it speaks version 1 of the channel, which cannot prove the secret', undefined]
  ] as const
  for (const [interceptArgs, copyArgs, here, there] of cases) {
    const intercept = await lab.startIntercept(interceptArgs)
    const tcpcopy = await lab.startTcpcopy([...COPY, ...copyArgs], false)
    await tcpcopy.waitForLine('stderr', (line) => line.includes(`"reason":"${here}`), 20_000)
    if (there !== undefined) {
      await intercept.waitForLine('stderr', (line) => line.includes(`"reason":"${there}`), 20_000)
      await untilCounter(intercept, 'peersUnproven', (count) => count > 0)
    }
    await finishAndReadBooks(tcpcopy)
    assert.deepEqual(await intercept.stop(), { status: 0, signal: null })
  }
})

test('a secret file that cannot be used ends either program at its start, in words', async () => {
  await using lab = await openCopyLab()
  const files = [
    [join(lab.folder, 'absent'), /cannot be read\n {2}Make one: head/],
    [secretFile(lab, 'short', 'short\n'), /has 5 octets\n {2}It takes 16 to 4096/],
    [secretFile(lab, 'open', 'correct horse battery staple', 0o644), /by everybody\n {2}Keep it to yourself: chmod 600/]
  ] as const
  for (const [path, words] of files) {
    for (const [program, args] of [
      [TCPCOPY, COPY],
      [INTERCEPT, ['-F', 'tcp']]
    ] as const) {
      const started = lab.hosts.source.spawn(program, [...args, '--secret-file', path])
      assert.deepEqual(await started.exited, { status: 1, signal: null })
      assert.match(started.stderr, words)
    }
  }
})

/** One connection from a port of the caller's choice, that asks now and then until it is told to end. */
const askFrom = `
const [host, port, localPort, key] = process.argv.slice(1)
const socket = require('net').connect({ host, port: Number(port), localPort: Number(localPort) })
const ask = () => socket.write('INCR ' + key + '\\r\\n')
let isEnding = false
process.on('SIGTERM', () => { isEnding = true })
socket.on('connect', () => { console.log('on'); ask() })
socket.on('data', () => { if (isEnding) socket.end(); else setTimeout(ask, 5) })
`

test('of two tcpcopy with the same client the second takes another port, and the first goes on', async () => {
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
  for (const asking of [first, second]) assert.deepEqual(await asking.stop(), { status: 0, signal: null })
  for (const tcpcopy of [one, two]) await untilCounter(tcpcopy, 'sessionsClosed', (count) => count === 1)
  const counts = await Promise.all(sources.map((source) => source.requestCount()))
  assert.deepEqual([await lab.askTarget('GET', 'first'), await lab.askTarget('GET', 'second')], counts.map(String))
  assert.equal((await statisticsOf(intercept)).routesTaken, 1)
  const books = [await finishAndReadBooks(one), await finishAndReadBooks(two)]
  assert.deepEqual(
    books.map(({ portsMoved, sessionsReset, droppedBytes }) => [portsMoved, sessionsReset, droppedBytes]),
    [
      [0, 0, 0],
      [1, 0, 0]
    ]
  )
})
