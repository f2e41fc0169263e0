/** `--workers`: the results are those of one worker, for any number of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { hasMessage, lastStatistics } from '../../lab/hosts/json-log.ts'
import type { Program } from '../../lab/hosts/program.ts'
import {
  ASSISTANT,
  type CopyLab,
  finishAndReadBooks,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  TARGET,
  until,
  untilCounter,
  untilSame
} from './support/copy-lab.ts'

const rawSegment = fileURLToPath(new URL('./support/raw-segment.js', import.meta.url))

/** Answers each line; prints of each connection who it was, and a digest of what it said. */
const SERVER = `
  const { createHash } = require('crypto')
  require('net').createServer((socket) => {
    const who = socket.remoteAddress + ':' + socket.remotePort
    const hash = createHash('sha256')
    let octets = 0
    socket.on('data', (data) => {
      hash.update(data)
      octets += data.length
      for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) socket.write('ok\\n')
    })
    socket.on('end', () => console.log(who, octets, hash.digest('hex')))
  }).listen(Number(process.argv[1]), process.argv[2], () => console.error('listening'))`

const LONG = 30
const REQUESTS_EACH = 40
const SHORT = 300

/** Connections that ask and wait, one after the other on each; then short ones, each of one request. */
const CLIENT = `
  const [port, host, long, requestsEach, short] = process.argv.slice(1)
  const line = (seed) => {
    const text = Buffer.alloc(20 + (seed * 97) % 4000)
    for (let at = 0; at < text.length - 1; at++) text[at] = 32 + (at * 31 + seed) % 90
    text[text.length - 1] = 10
    return text
  }
  const ask = (seed, count, done) => {
    const socket = require('net').connect(Number(port), host)
    socket.write(line(seed))
    socket.on('data', () => {
      count -= 1
      if (count > 0) socket.write(line(seed + count))
      else socket.end()
    })
    socket.on('close', done)
  }
  let left = Number(short)
  const next = () => { if (left > 0) ask(100000 + left--, 1, next) }
  for (let index = 0; index < Number(long); index++) ask(index * 1000, Number(requestsEach), () => {})
  for (let index = 0; index < 20; index++) next()`

async function startServer(lab: CopyLab, where: 'source' | 'target', address: string): Promise<Program> {
  const server = lab.hosts[where].spawn(process.execPath, ['-e', SERVER, `${PORT}`, address])
  await server.waitForLine('stderr', (line) => line === 'listening')
  return server
}

function connectionsOf(server: Program): string[] {
  return server.stdout.split('\n').filter(Boolean).sort()
}

/** tcpcopy, all of whose workers are connected. */
async function startWorkers(lab: CopyLab, workers: number, ...args: readonly string[]): Promise<Program> {
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, '--workers', `${workers}`, ...args], false)
  // Two connections each.
  await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 2 * workers)
  return tcpcopy
}

for (const [workers, intercepting] of [
  [1, 1],
  [2, 1],
  [3, 1],
  [1, 3],
  [3, 2]
] as const) {
  const names = `${workers} workers of tcpcopy and ${intercepting} of intercept`
  test(`with ${names} each connection is copied byte for byte, and the books say the same`, async () => {
    await using lab = await openCopyLab()
    const source = await startServer(lab, 'source', SOURCE)
    const target = await startServer(lab, 'target', TARGET)
    const intercept = await lab.startIntercept(['--workers', `${intercepting}`])
    const tcpcopy = await startWorkers(lab, workers)
    const load = [`${PORT}`, SOURCE, `${LONG}`, `${REQUESTS_EACH}`, `${SHORT}`]
    await lab.runScript(lab.hosts.client, CLIENT, ...load)
    await until('the target has all connections', () => connectionsOf(target).length === LONG + SHORT)
    assert.deepEqual(connectionsOf(target), connectionsOf(source))
    const books = await finishAndReadBooks(tcpcopy)
    const octets = connectionsOf(source).reduce((sum, line) => sum + Number(line.split(' ')[1]), 0)
    assert.deepEqual(
      {
        sessions: books.sessionsStarted,
        delivered: books.deliveredBytes,
        lost: books.droppedBytes,
        epochs: books.epochs,
        timeouts: books.epochTimeouts,
        moved: books.portsMoved
      },
      {
        sessions: LONG + SHORT,
        delivered: octets,
        lost: 0,
        epochs: LONG * REQUESTS_EACH + SHORT,
        timeouts: 0,
        moved: 0
      }
    )
    const connected = tcpcopy.stderr.split('\n').filter((line) => hasMessage(line, 'connected to intercept'))
    assert.equal(connected.length, workers)
    await intercept.stop()
    const { backlogDropped, captureDropped, peersAccepted } = lastStatistics(intercept.stderr) ?? {}
    assert.deepEqual([backlogDropped, captureDropped, peersAccepted], [0, 0, 2 * workers])
  })
}

test('workers of both programs: redis, flat out and pipelined, is the same at source and target', async () => {
  await using lab = await openCopyLab({ offloads: true })
  const redis = await lab.startRedisPair()
  await lab.startIntercept(['--workers', '2'])
  const tcpcopy = await startWorkers(lab, 3)
  for (const pipeline of ['1', '16']) {
    const load = ['-h', SOURCE, '-t', 'set', '-r', '100000', '-n', '20000', '-c', '50', '-P', pipeline]
    await lab.hosts.client.mustRun('redis-benchmark', load)
  }
  await untilSame(redis.source, redis.target)
  assert.equal((await finishAndReadBooks(tcpcopy)).droppedBytes, 0)
})

test('--workers 3 with -r 30 and -n 2: of 1000 connections exactly 300 are copied, exactly twice', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await startWorkers(lab, 3, '-r', '30', '-n', '2')
  const connections = `
    let left = 1000
    const next = () => {
      if (left-- <= 0) return
      const socket = require('net').connect(${PORT}, '${SOURCE}')
      socket.write('INCR count\\r\\n')
      socket.on('data', () => socket.end())
      socket.on('close', next)
    }
    for (let worker = 0; worker < 20; worker++) next()`
  await lab.runScript(lab.hosts.client, connections)
  assert.equal(await redis.source.requestCount(), 1000)
  await until('600 are there', async () => (await redis.target.requestCount()) >= 600)
  await untilCounter(tcpcopy, 'flowsLeftOut', (count) => count === 700)
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(await redis.target.requestCount(), 600)
  assert.deepEqual([books.sessionsStarted, books.copiesStarted, books.flowsLeftOut], [600, 300, 700])
  assert.deepEqual([books.copiesRefused, books.copiesMoved, books.portsMoved], [0, 0, 0])
})

test('--workers 3: a segment that arrives in IP fragments is copied whole', async () => {
  await using lab = await openCopyLab()
  await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await startWorkers(lab, 3)
  const command = `SET fragmented ${'x'.repeat(2000)}\r\n`
  await lab.hosts.client.mustRun(process.execPath, [rawSegment, 'fragmented', SOURCE, command])
  await until('the key is at the target', async () => (await lab.askTarget('STRLEN', 'fragmented')) === '2000')
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.capturedPayloadBytes, books.deliveredBytes], [command.length, command.length])
})

test('with client addresses that clients share no two workers meet at the target', async () => {
  await using lab = await openCopyLab({ routed: ['10.99.0.1/32'] })
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const { client } = lab.hosts
  await client.mustRun('ip', ['addr', 'add', '10.77.0.11/24', 'dev', 'eth0'])
  const tcpcopy = await startWorkers(lab, 3, '-c', '10.99.0.1')
  // The same ports of two clients, who are one at the target.
  const ask = `
    for (const localAddress of ['10.77.0.10', '10.77.0.11']) {
      for (let localPort = 25000; localPort < 25200; localPort++) {
        const socket = require('net').connect({ port: ${PORT}, host: '${SOURCE}', localAddress, localPort })
        socket.write('INCR count\\r\\n')
        socket.on('data', () => setTimeout(() => socket.end(), 500))
      }
    }`
  await lab.runScript(client, ask)
  await untilSame(redis.source, redis.target)
  assert.equal(await lab.askTarget('GET', 'count'), '400')
  const books = await finishAndReadBooks(tcpcopy)
  assert.deepEqual([books.sessionsStarted, books.droppedBytes, books.sessionsReset], [400, 0, 0])
})

for (const [version, workers] of [
  ['1', '1'],
  ['2', '1'],
  ['1', '3'],
  ['2', '3']
] as const) {
  test(`after a restart of intercept, of version ${version} and ${workers} workers, each worker's answers come home again`, async () => {
    await using lab = await openCopyLab()
    const redis = await lab.startRedisPair()
    const channel = ['--channel-version', version, '--workers', workers]
    const before = await lab.startIntercept(channel)
    const tcpcopy = await startWorkers(lab, 3)
    // Connections that are there before and after; the keys say which requests arrived.
    const clients = lab.hosts.client.spawn(process.execPath, [
      '-e',
      `
      let answers = 0
      const sockets = Array.from({ length: 60 }, (_, index) => {
        const socket = require('net').connect(${PORT}, '${SOURCE}')
        socket.write('SET before:' + index + ' 1\\r\\n')
        socket.on('data', () => { if (++answers % 60 === 0) console.log('answers', answers) })
        return socket
      })
      process.on('SIGUSR2', () => {
        for (const [index, socket] of sockets.entries()) socket.write('SET after:' + index + ' 1\\r\\n')
      })`
    ])
    await clients.waitForLine('stdout', (line) => line === 'answers 60')
    await untilCounter(tcpcopy, 'pendingBytes', (count) => count === 0)
    await before.stop()
    await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 0)
    clients.signal('SIGUSR2')
    await clients.waitForLine('stdout', (line) => line === 'answers 120')
    await lab.startIntercept(channel)
    await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 6)
    await untilSame(redis.source, redis.target)
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.sessionsStarted, books.droppedBytes], [60, 0])
    await clients.stop()
  })
}
