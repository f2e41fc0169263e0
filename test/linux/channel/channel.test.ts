/** The channel between the programs: late, broken and rebuilt, shared, and with other peers. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ASSISTANT, CLIENT, type CopyLab, MAP, openCopyLab, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import { counter, hasMessage } from '../../../lab/hosts/json-log.ts'
import { finishCopy } from '../support/books.ts'
import { benchmark, SETS, startSteadyLoad } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'
import { statisticsOf, stopCleanly, untilCounter, untilRequests, untilSame } from '../support/waiting.ts'

const CHANNEL_PORT = 36524
const OTHER_PORT = 6400
const flood = fileURLToPath(new URL('../support/programs/answer-flood.js', import.meta.url))

/** A script in which `socket` is connected to intercept. */
function withSocket(script: string): string {
  return `const socket = require('net').connect(${CHANNEL_PORT}, '${ASSISTANT}'); ${script}`
}

/** Runs such a script on the source, to its end. */
async function speakToIntercept(lab: CopyLab, script: string): Promise<void> {
  await lab.runScript(lab.hosts.source, withSocket(`socket.on('error', () => {}); ${script}`))
}

test('tcpcopy is ready without intercept, and copies once intercept is there', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT], false)
  const isAway = (line: string) =>
    hasMessage(line, 'not connected to intercept; copying continues and tcpcopy keeps trying to connect')
  await tcpcopy.waitForLine('stderr', isAway)
  assert.equal(await lab.ask('SET', 'early', '1'), 'OK')
  await lab.startIntercept()
  // What was captured before is copied too: the SYN is repeated until its answer arrives.
  await untilSame(redis.source, redis.target)
  assert.equal(await lab.ask('SET', 'late', '2'), 'OK')
  await untilSame(redis.source, redis.target)
  await finishCopy(tcpcopy)
  assert.equal(tcpcopy.stderr.split('\n').filter(isAway).length, 1)
})

copied(
  'sessions survive when intercept is killed and restarted under load',
  { books: { sessionsStarted: 20, sessionsReset: 0 } },
  async (copy) => {
    const { lab, hosts, source, tcpcopy } = copy
    const load = await startSteadyLoad(hosts.client, 20)
    await copy.untilTargetHas(200)
    await copy.intercept.stop('SIGKILL')
    await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 0)
    await untilRequests(source, (await source.requestCount()) + 200)
    await lab.startIntercept()
    await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 2)
    await stopCleanly(load)
    await copy.untilSame()
  }
)

copied(
  'several instances of tcpcopy share an intercept, and each gets the answers to its own clients',
  { books: { 'dropped.answerNoSession': 0 } },
  async (copy) => {
    const { lab, hosts, intercept } = copy
    const other = await lab.startRedisPair(OTHER_PORT)
    const second = await lab.startTcpcopy(['-x', `${OTHER_PORT}-${TARGET}:${OTHER_PORT}`, '-s', ASSISTANT])
    await untilCounter(intercept, 'peersOpen', (count) => count === 4)
    const load = [...SETS, '-n', '3000', '-c', '10']
    await Promise.all([
      benchmark(hosts.client, SOURCE, ...load),
      benchmark(hosts.client, SOURCE, ...load, '-p', `${OTHER_PORT}`)
    ])
    await copy.untilSame()
    await untilSame(other.source, other.target)
    await copy.finish()
    // The other instance goes on without it.
    await lab.ask('-p', `${OTHER_PORT}`, 'SET', 'alone', '1')
    await untilSame(other.source, other.target)
    await finishCopy(second)
  }
)

test('a tcpcopy with two intercepts copies through either one, also after one of them has gone', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  const secondPort = CHANNEL_PORT + 1
  const first = await lab.startIntercept()
  await lab.startIntercept(['-p', `${secondPort}`])
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', `${ASSISTANT},${ASSISTANT}:${secondPort}`])
  await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 4)
  const load = await startSteadyLoad(lab.hosts.client, 5)
  await untilRequests(redis.target, 51)
  first.signal('SIGKILL')
  await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 2)
  await untilRequests(redis.target, (await redis.target.requestCount()) + 51)
  await stopCleanly(load)
  await untilSame(redis.source, redis.target)
  await finishCopy(tcpcopy)
})

copied('junk, health checks and partial messages end only their own connection', {}, async (copy) => {
  const { lab, intercept } = copy
  const load = await startSteadyLoad(copy.hosts.client, 5)
  await speakToIntercept(lab, `socket.on('connect', () => socket.destroy())`)
  await speakToIntercept(lab, `socket.on('connect', () => socket.resetAndDestroy())`)
  const ended = `socket.resume(); socket.on('close', () => process.exit(0))`
  await speakToIntercept(lab, `socket.write('GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'); ${ended}`)
  await speakToIntercept(lab, `socket.write(Buffer.alloc(1 << 20, 0xff)); ${ended}`)
  // Half of a first message, and one and a half.
  const hello = 'Buffer.from("0000000000000006000000000000", "hex")'
  await speakToIntercept(lab, `socket.end(Buffer.alloc(7)); ${ended}`)
  await speakToIntercept(lab, `socket.end(Buffer.concat([${hello}, Buffer.alloc(7, 1)])); ${ended}`)
  // An unknown type is ignored.
  await speakToIntercept(lab, `socket.end(Buffer.concat([${hello}, Buffer.alloc(14, 9)])); ${ended}`)
  await untilCounter(intercept, 'peersOpen', (count) => count === 2)
  assert.equal(counter(await statisticsOf(intercept), 'peersRejected'), 2)
  await stopCleanly(load)
  await copy.untilSame()
})

/** Claims the answers to a client of its own, and never reads one. */
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

copied('a tcpcopy that stops reading loses its own answers, and no other loses any', {}, async (copy) => {
  const { hosts, intercept } = copy
  const deafTcpcopy = hosts.source.spawn(process.execPath, ['-e', withSocket(deaf)])
  await deafTcpcopy.waitForLine('stdout', (line) => line === 'deaf')
  await untilCounter(intercept, 'routes', (count) => count === 1)
  const load = await startSteadyLoad(hosts.client, 5)
  const flooding = hosts.target.spawn(process.execPath, [flood, TARGET, '7777', CLIENT, '5555'])
  await untilCounter(intercept, 'backlogDropped', (count) => count > 1000)
  await flooding.stop('SIGKILL')
  await stopCleanly(load)
  await copy.untilSame()
  await copy.finish()
  await deafTcpcopy.stop('SIGKILL')
})

/** Greets like sshd. */
const junk = `
  const greet = (socket) => { socket.on('error', () => {}); socket.end('SSH-2.0-OpenSSH\\r\\n') }
  require('net').createServer(greet).listen(22)`

copied(
  'tcpcopy ignores a server that is given as an intercept and is none',
  {
    interceptAt: `${ASSISTANT}:22,${ASSISTANT}`,
    prepare: async ({ hosts: { assistant } }) => {
      assistant.spawn(process.execPath, ['-e', junk])
      await assistant.waitForPort(22)
    }
  },
  async (copy) => {
    const { lab, tcpcopy } = copy
    await tcpcopy.waitForLine('stderr', (line) => line.includes('it does not speak the protocol of intercept'))
    await untilCounter(tcpcopy, 'channelFailures', (count) => count > 4)
    assert.equal(await lab.ask('SET', 'a', 'b'), 'OK')
    await copy.untilSame()
  }
)
