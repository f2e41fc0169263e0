/** The channel between the programs: late, broken and made again, shared, and spoken to by others. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { counter, hasMessage } from '../../lab/hosts/json-log.ts'
import {
  ASSISTANT,
  CLIENT,
  type CopyLab,
  endLoad,
  finishAndReadBooks,
  MAP,
  openCopyLab,
  SOURCE,
  startReady,
  startSteadyLoad,
  statisticsOf,
  TARGET,
  TCPCOPY,
  until,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'

const CHANNEL_PORT = 36524

/** Runs a script against intercept from the source host: `socket` is connected. */
async function speakToIntercept(lab: CopyLab, script: string): Promise<void> {
  const connect = `const socket = require('net').connect(${CHANNEL_PORT}, '${ASSISTANT}');socket.on('error', () => {});`
  await lab.runScript(lab.hosts.source, connect + script)
}

test('tcpcopy is ready without intercept, and copies once intercept is there', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT], false)
  const isAway = (line: string) =>
    hasMessage(line, 'intercept is away; copying goes on and tcpcopy keeps trying to connect')
  await tcpcopy.waitForLine('stderr', isAway)
  assert.equal(await lab.ask('SET', 'early', '1'), 'OK')
  await lab.startIntercept()
  // What was captured meanwhile is copied too: its SYN is repeated until an answer finds its way.
  await untilSame(redis.source, redis.target)
  assert.equal(await lab.ask('SET', 'late', '2'), 'OK')
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
  assert.equal(tcpcopy.stderr.split('\n').filter(isAway).length, 1)
})

test('sessions go on when intercept is killed and started again under load', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const first = await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  const load = await startSteadyLoad(lab.hosts.client, 20)
  await until('the copy is under way', async () => (await redis.target.requestCount()) > 200)
  first.signal('SIGKILL')
  await first.exited
  await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 0)
  const before = await redis.source.requestCount()
  await until('the source goes on alone', async () => (await redis.source.requestCount()) > before + 200)
  await lab.startIntercept()
  await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 2)
  await endLoad(load)
  await untilSame(redis.source, redis.target)
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.sessionsStarted, books.droppedBytes, books.sessionsReset], [20, 0, 0])
})

test('several tcpcopy share an intercept, each with the answers to its own clients', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const otherPort = 6400
  const other = await lab.startRedisPair(otherPort)
  const intercept = await lab.startIntercept()
  const one = await lab.startTcpcopy()
  const two = await lab.startTcpcopy(['-x', `${otherPort}-${TARGET}:${otherPort}`, '-s', ASSISTANT])
  await untilCounter(intercept, 'peersOpen', (count) => count === 4)
  await Promise.all([
    lab.hosts.client.mustRun('redis-benchmark', ['-h', SOURCE, '-t', 'set', '-r', '100000', '-n', '3000', '-c', '10']),
    lab.hosts.client.mustRun('redis-benchmark', [
      ...['-h', SOURCE, '-p', `${otherPort}`, '-t', 'set', '-r', '100000', '-n', '3000', '-c', '10']
    ])
  ])
  await untilSame(redis.source, redis.target)
  await untilSame(other.source, other.target)
  const books = await finishAndReadBooks(one)
  assert.equal(books.droppedBytes, 0)
  assert.equal(books['dropped.answerNoSession'] ?? 0, 0)
  // The other one goes on without it.
  await lab.ask('-p', `${otherPort}`, 'SET', 'alone', '1')
  await untilSame(other.source, other.target)
  assert.equal((await finishAndReadBooks(two)).droppedBytes, 0)
})

test('a tcpcopy with two intercepts copies through either, and when one of them goes', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const secondPort = CHANNEL_PORT + 1
  const first = await lab.startIntercept()
  await lab.startIntercept(['-p', `${secondPort}`])
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', `${ASSISTANT},${ASSISTANT}:${secondPort}`])
  await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 4)
  const load = await startSteadyLoad(lab.hosts.client, 5)
  await until('the copy is under way', async () => (await redis.target.requestCount()) > 50)
  first.signal('SIGKILL')
  await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 2)
  const before = await redis.target.requestCount()
  await until('the copy goes on through the other', async () => (await redis.target.requestCount()) > before + 50)
  await endLoad(load)
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
})

test('junk, health checks and half messages end with their own connection', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const intercept = await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  const load = await startSteadyLoad(lab.hosts.client, 5)
  await speakToIntercept(lab, `socket.on('connect', () => socket.destroy())`)
  await speakToIntercept(lab, `socket.on('connect', () => socket.resetAndDestroy())`)
  const ended = `socket.resume(); socket.on('close', () => process.exit(0))`
  await speakToIntercept(lab, `socket.write('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); ${ended}`)
  await speakToIntercept(lab, `socket.write(Buffer.alloc(1 << 20, 0xff)); ${ended}`)
  // Half a first message, and one and a half.
  const hello = 'Buffer.from("0000000000000006000000000000", "hex")'
  await speakToIntercept(lab, `socket.end(Buffer.alloc(7)); ${ended}`)
  await speakToIntercept(lab, `socket.end(Buffer.concat([${hello}, Buffer.alloc(7, 1)])); ${ended}`)
  // A type that nobody knows is ignored.
  await speakToIntercept(lab, `socket.end(Buffer.concat([${hello}, Buffer.alloc(14, 9)])); ${ended}`)
  await untilCounter(intercept, 'peersOpen', (count) => count === 2)
  assert.equal(counter(await statisticsOf(intercept), 'peersRejected'), 2)
  await endLoad(load)
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
  assert.deepEqual(await intercept.stop(), { status: 0, signal: null })
})

test('a tcpcopy that stops reading loses its own answers, and no other does', async () => {
  await using lab = await openCopyLab()
  const intercept = await lab.startIntercept()
  const { target, source } = lab.hosts
  // Claims the answers to a client of its own, and never reads one.
  const deaf = `
    socket.on('connect', () => {
      socket.pause()
      setInterval(() => {}, 1000) // a paused socket keeps no process alive
      const route = Buffer.alloc(14)
      route.set([10, 77, 0, 10], 0)
      route.writeUInt16BE(5555, 4)
      route.writeUInt16BE(1, 6)
      route.set([10, 77, 0, 2], 8)
      route.writeUInt16BE(7777, 12)
      socket.write(Buffer.concat([Buffer.from('0000000000000006000000000000', 'hex'), route]))
      console.log('deaf')
    })`
  const connect = `const socket = require('net').connect(${CHANNEL_PORT}, '${ASSISTANT}');`
  const deafTcpcopy = source.spawn(process.execPath, ['-e', connect + deaf])
  await deafTcpcopy.waitForLine('stdout', (line) => line === 'deaf')
  await untilCounter(intercept, 'routes', (count) => count === 1)
  const redis = await lab.startRedisPair()
  const tcpcopy = await lab.startTcpcopy()
  const load = await startSteadyLoad(lab.hosts.client, 5)
  const flood = new URL('./support/answer-flood.js', import.meta.url).pathname
  const flooding = target.spawn(process.execPath, [flood, TARGET, '7777', CLIENT, '5555'])
  await untilCounter(intercept, 'backlogDropped', (count) => count > 1000)
  flooding.signal('SIGKILL')
  await flooding.exited
  await endLoad(load)
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
  deafTcpcopy.signal('SIGKILL')
})

test('tcpcopy leaves alone what calls itself intercept and is not', async () => {
  await using lab = await openCopyLab()
  const { assistant, source } = lab.hosts
  const junk = `require('net').createServer((s) => { s.on('error', () => {}); s.end('SSH-2.0-OpenSSH\\r\\n') }).listen(22)`
  assistant.spawn(process.execPath, ['-e', junk])
  await assistant.waitForPort(22)
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await startReady(source, TCPCOPY, ['-x', MAP, '-s', `${ASSISTANT}:22,${ASSISTANT}`])
  const speaksOther = (line: string) => line.includes('it does not speak the protocol of intercept')
  await tcpcopy.waitForLine('stderr', speaksOther)
  await untilCounter(tcpcopy, 'channelFailures', (count) => count > 4)
  assert.equal(await lab.ask('SET', 'a', 'b'), 'OK')
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
})
