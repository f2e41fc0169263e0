/** `--workers`: the results are the same with any number of them. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { CONNECTED, PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { hasMessage, lastStatistics } from '../../../lab/hosts/json-log.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import type { StartServer } from '../../../lab/loads/server.ts'
import { onlySampledOut, untilSettled } from '../support/books.ts'
import { benchmark, openShortConnections, SETS } from '../support/client-loads.ts'
import { type Copy, copied } from '../support/copied.ts'
import { untilCounter } from '../support/waiting.ts'

/** Answers each line; prints for each connection its peer, and a digest of what it received. */
const SERVER = `
  const { createHash } = require('crypto')
  require('net').createServer((socket) => {
    const peer = socket.remoteAddress + ':' + socket.remotePort
    const hash = createHash('sha256')
    let length = 0
    socket.on('data', (data) => {
      hash.update(data)
      length += data.length
      for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) socket.write('ok\\n')
    })
    socket.on('end', () => console.log(peer, length, hash.digest('hex')))
  }).listen(Number(process.argv[1]), process.argv[2], () => console.error('listening'))`

const LONG = 30
const REQUESTS_EACH = 40
const SHORT = 300

/** Long connections that send one request after the other, and short ones with one request each. */
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

/** One line for each connection that has ended. */
function connectionsOf(server: Program): string[] {
  return server.stdout.split('\n').filter(Boolean).sort()
}

const startLineServer: StartServer = async (host) => {
  const program = host.spawn(process.execPath, ['-e', SERVER, `${PORT}`, host.address])
  await program.waitForLine('stderr', (line) => line === 'listening')
  return {
    program,
    requestCount: async () => connectionsOf(program).length,
    digest: async () => createHash('sha256').update(connectionsOf(program).join()).digest('hex')
  }
}

const workersOption = (workers: number): readonly string[] => ['--workers', `${workers}`]

/** Waits until each worker of tcpcopy has its two connections. */
async function untilConnected({ tcpcopy }: Copy, workers: number): Promise<void> {
  await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 2 * workers)
}

for (const [workers, intercepting] of [
  [1, 1],
  [2, 1],
  [3, 1],
  [1, 3],
  [3, 2]
] as const) {
  copied(
    `with ${workers} workers of tcpcopy and ${intercepting} of intercept each connection is copied byte for byte, and the books agree`,
    {
      server: startLineServer,
      tcpcopy: workersOption(workers),
      intercept: workersOption(intercepting),
      books: {
        sessionsStarted: LONG + SHORT,
        epochs: LONG * REQUESTS_EACH + SHORT,
        epochTimeouts: 0,
        portsMoved: 0
      }
    },
    async (copy) => {
      const { lab, hosts, intercept, tcpcopy } = copy
      await untilConnected(copy, workers)
      await lab.runScript(hosts.client, CLIENT, `${PORT}`, SOURCE, `${LONG}`, `${REQUESTS_EACH}`, `${SHORT}`)
      await copy.untilTargetHas(LONG + SHORT)
      const connections = connectionsOf(copy.source.program)
      assert.deepEqual(connectionsOf(copy.target.program), connections)
      const { deliveredBytes } = await copy.finish()
      const bytes = connections.reduce((sum, line) => sum + Number(line.split(' ')[1]), 0)
      assert.equal(deliveredBytes, bytes)
      const connected = tcpcopy.stderr.split('\n').filter((line) => hasMessage(line, 'connected to intercept'))
      assert.equal(connected.length, workers)
      await copy.end()
      const { backlogDropped, captureDropped, peersAccepted } = lastStatistics(intercept.stderr) ?? {}
      assert.deepEqual([backlogDropped, captureDropped, peersAccepted], [0, 0, 2 * workers])
    }
  )
}

copied(
  'with workers in both programs, redis at full speed and pipelined is the same at source and target',
  { offloads: true, tcpcopy: workersOption(3), intercept: workersOption(2) },
  async (copy) => {
    await untilConnected(copy, 3)
    for (const pipeline of ['1', '16']) {
      await benchmark(copy.hosts.client, SOURCE, ...SETS, '-n', '20000', '-c', '50', '-P', pipeline)
    }
    await copy.untilSame()
  }
)

copied(
  '--workers 3 with -r 30 and -n 2: of 1000 connections exactly 300 are copied, exactly twice',
  {
    tcpcopy: [...workersOption(3), '-r', '30', '-n', '2'],
    books: {
      sessionsStarted: 600,
      copiesStarted: 300,
      flowsLeftOut: 700,
      droppedBytes: onlySampledOut,
      copiesRefused: 0,
      copiesMoved: 0,
      portsMoved: 0
    }
  },
  async (copy) => {
    await untilConnected(copy, 3)
    await openShortConnections(copy.hosts.client, 1000)
    assert.equal(await copy.source.requestCount(), 1000)
    await copy.untilTargetHas(600)
    await untilCounter(copy.tcpcopy, 'flowsLeftOut', (count) => count === 700)
    await copy.finish()
    assert.equal(await copy.target.requestCount(), 600)
  }
)

/** The same ports on two client addresses, which the target sees as one. */
const SHARED_PORTS = `
  for (const localAddress of ['10.77.0.10', '10.77.0.11']) {
    for (let localPort = 25000; localPort < 25200; localPort++) {
      const socket = require('net').connect({ port: ${PORT}, host: '${SOURCE}', localAddress, localPort })
      socket.write('INCR count\\r\\n')
      socket.on('data', () => setTimeout(() => socket.end(), 500))
    }
  }`

copied(
  'when clients share an address at the target, no two workers use the same port of it',
  {
    routed: ['10.99.0.1/32'],
    moreClients: ['10.77.0.11'],
    tcpcopy: [...workersOption(3), '-c', '10.99.0.1'],
    books: { sessionsStarted: 400, sessionsReset: 0 }
  },
  async (copy) => {
    await untilConnected(copy, 3)
    await copy.lab.runScript(copy.hosts.client, SHARED_PORTS)
    await copy.untilSame()
    assert.equal(await copy.lab.askTarget('GET', 'count'), '400')
  }
)

/** Connections that exist before and after; the keys say which requests arrived. */
const LASTING = `
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

for (const [version, workers] of [
  ['1', 1],
  ['2', 1],
  ['1', 3],
  ['2', 3]
] as const) {
  const intercept = ['--channel-version', version, ...workersOption(workers)]
  copied(
    `after a restart of intercept, with version ${version} and --workers ${workers}, each worker's answers reach it again`,
    {
      intercept,
      tcpcopy: workersOption(3),
      connected: version === '1' ? 'connected to intercept (version 1, no reply yet)' : CONNECTED,
      books: { sessionsStarted: 60 }
    },
    async (copy) => {
      const { lab, hosts, tcpcopy } = copy
      await untilConnected(copy, 3)
      const clients = hosts.client.spawn(process.execPath, ['-e', LASTING])
      await clients.waitForLine('stdout', (line) => line === 'answers 60')
      await untilSettled(tcpcopy)
      await copy.intercept.stop()
      await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 0)
      clients.signal('SIGUSR2')
      await clients.waitForLine('stdout', (line) => line === 'answers 120')
      await lab.startIntercept(intercept)
      await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 6)
      await copy.untilSame()
      await copy.finish()
      await clients.stop()
    }
  )
}
