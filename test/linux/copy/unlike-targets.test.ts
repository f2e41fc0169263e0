/** Targets that do not behave as the source does: slow ones, and ones that end connections. */
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { PORT, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import { hasMessage } from '../../../lab/hosts/json-log.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import type { Server, StartServer } from '../../../lab/loads/server.ts'
import { some, unchecked } from '../support/books.ts'
import { type Copy, copied } from '../support/copied.ts'
import { untilCounter } from '../support/waiting.ts'

const serverProgram = fileURLToPath(new URL('../support/programs/answering-server.js', import.meta.url))

/** The first bytes of TLS. */
const HELLO = `\x16\x03\x01\x00\x37\x01\x00\x00\x33${'h'.repeat(51)}`

const linesOf = (program: Program, word: string): number =>
  program.stdout.split('\n').filter((line) => line === word).length

class AnsweringServer implements Server {
  readonly program: Program

  constructor(program: Program) {
    this.program = program
  }

  async requestCount(): Promise<number> {
    return linesOf(this.program, 'answered') + linesOf(this.program, 'gone')
  }

  async digest(): Promise<string> {
    return `${await this.requestCount()} requests`
  }
}

/** Modes of answering-server.ts. The source keeps connections open unless said otherwise. */
const startServers =
  (mode: string, sourceMode = 'keep'): StartServer =>
  async (host) => {
    const ofHost = host.address === TARGET ? mode : sourceMode
    const program = host.spawn(process.execPath, [serverProgram, `${PORT}`, ofHost])
    await host.waitForPort(PORT)
    return new AnsweringServer(program)
  }

/** Each connection sends its requests one after the other, 30 ms after the last answer, and closes. */
const clients = `
const [connections, requests, text] = process.argv.slice(1)
for (let number = 0; number < Number(connections); number++) {
  const socket = require('net').connect({ host: '${SOURCE}', port: ${PORT} })
  let left = Number(requests)
  const ask = () => { left-- > 0 ? socket.write(Buffer.from(text, 'hex')) : socket.end() }
  socket.on('connect', ask)
  socket.on('data', () => setTimeout(ask, left > 0 ? 30 : 0))
}`

async function load({ lab }: Copy, connections: number, requests: number, text = 'request of 20 bytes\n') {
  await lab.runScript(
    lab.hosts.client,
    clients,
    `${connections}`,
    `${requests}`,
    Buffer.from(text, 'latin1').toString('hex')
  )
}

async function warningOf(tcpcopy: Program, message: string): Promise<{ readonly hint: string }> {
  const line = await tcpcopy.waitForLine('stderr', (one) => hasMessage(one, message), 15_000)
  const times = tcpcopy.stderr.split('\n').filter((one) => hasMessage(one, message)).length
  assert.equal(times, 1, `"${message}" was logged ${times} times`)
  return JSON.parse(line) as { hint: string } // as: our own log
}

copied(
  'a target that is slower than --epoch-timeout answers clients that close after their answer',
  {
    server: startServers('slow'),
    tcpcopy: ['--epoch-timeout', '0.2'],
    books: { epochTimeouts: 0, sessionsClosed: 8, requestsCaptured: 8, requestsAnsweredLate: 8 }
  },
  async (copy) => {
    await load(copy, 8, 1)
    await copy.untilTargetHas(8)
    assert.equal(linesOf(copy.target.program, 'answered'), 8)
    await untilCounter(copy.tcpcopy, 'sessionsEnded', (count) => count === 8)
  }
)

for (const workers of [1, 2]) {
  copied(
    `a target that ends every connection gets a few, then sessions pause; ${workers} workers warn once`,
    {
      server: startServers('refuse'),
      tcpcopy: ['--workers', `${workers}`],
      books: {
        reconnectPauses: 8,
        droppedBytes: some,
        'dropped.reconnectPaused.bytes': some,
        sessionsContinued: unchecked
      }
    },
    async (copy) => {
      await load(copy, 8, 40)
      const connections = linesOf(copy.target.program, 'connection')
      assert.ok(connections >= 8 && connections <= 16, `${connections} connections for 320 requests of 8 clients`)
      const { hint } = await warningOf(
        copy.tcpcopy,
        'the target ends connections without a useful answer; copying pauses'
      )
      for (const cause of ['log-in', '-O', 'TLS', 'tcpdump', TARGET]) assert.ok(hint.includes(cause), hint)
    }
  )
}

copied(
  'a target that closes after each answer is not throttled',
  {
    server: startServers('close'),
    books: { reconnectPauses: 0, sessionsContinued: some, droppedBytes: unchecked }
  },
  async (copy) => {
    await load(copy, 4, 20)
    // One that arrives between answer and close is lost: the target has acknowledged it and never reads it.
    await copy.untilTargetHas(60)
  }
)

copied(
  'TLS is left out with a warning',
  {
    server: startServers('keep'),
    books: { tlsLeftOut: 4, droppedBytes: (count, books) => count === books['dropped.tls.bytes'] }
  },
  async (copy) => {
    await load(copy, 4, 3, HELLO)
    const { hint } = await warningOf(copy.tcpcopy, 'connections that use TLS are not copied')
    assert.ok(hint.includes('terminator'), hint)
    assert.equal(await copy.source.requestCount(), 12)
    assert.equal(await copy.target.requestCount(), 0)
  }
)

copied(
  'requests that a target acknowledges right before it closes are not answered, and no bytes are lost',
  {
    server: startServers('late'),
    books: { requestsCaptured: 80, requestsNotAnswered: some, requestsGivenUp: 0, droppedBytes: 0 }
  },
  async (copy) => {
    await load(copy, 4, 20)
    await untilCounter(copy.tcpcopy, 'requestsInFlight', (count) => count === 0)
    const { requestsAnswered } = await copy.finish()
    assert.equal(requestsAnswered, await copy.target.requestCount())
  }
)

copied(
  'neither are requests whose answer is cut off',
  {
    server: startServers('cut'),
    books: { requestsCaptured: 4, requestsNotAnswered: 4, 'notAnswered.targetReset': 4, droppedBytes: 0 }
  },
  async (copy) => {
    await load(copy, 4, 1)
    await copy.untilTargetHas(4)
    await untilCounter(copy.tcpcopy, 'requestsInFlight', (count) => count === 0)
  }
)

copied(
  'a client that only sends awaits no answer',
  { server: startServers('silent', 'silent'), books: { requestsCaptured: 1, requestsNotAwaited: 1 } },
  async (copy) => {
    const sender = `require('net').connect({ host: '${SOURCE}', port: ${PORT} }).end('log line')`
    await copy.hosts.client.run(process.execPath, ['-e', sender])
    await copy.untilTargetHas(1)
    await untilCounter(copy.tcpcopy, 'sessionsEnded', (count) => count === 1)
  }
)

copied(
  'a request that is in flight when tcpcopy is stopped is named so, and is not lost',
  { server: startServers('silent'), books: { requestsCaptured: 4, requestsAtStop: 4 } },
  async (copy) => {
    await load(copy, 4, 1)
    await copy.untilTargetHas(4)
  }
)
