/** tcpcopy killed and restarted while the target still has its connections. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLIENT, type CopyLab, openCopyLab, PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { finishCopy, some } from '../support/books.ts'
import { readPackets } from '../support/packet-file.ts'
import { until } from '../support/waiting.ts'

const FIRST_PORT = 25_001
const CONNECTIONS = 20
/**
 * Connections from fixed ports. Each writes `SET NAME:INDEX 1` at once and again at each SIGUSR2, with the next name; at SIGTERM
 * they are reset, which leaves no TIME-WAIT behind.
 */
const clients = `
const [firstName, ...names] = process.argv.slice(1)
let answers = 0
const sockets = Array.from({ length: ${CONNECTIONS} }, (_, index) => {
  const socket = require('net').connect({ host: '${SOURCE}', port: ${PORT}, localPort: ${FIRST_PORT} + index })
  socket.write('SET ' + firstName + ':' + index + ' 1\\r\\n')
  socket.on('data', () => { if (++answers % ${CONNECTIONS} === 0) console.log('answers', answers) })
  return socket
})
process.on('SIGUSR2', () => {
  const name = names.shift()
  for (const [index, socket] of sockets.entries()) socket.write('SET ' + name + ':' + index + ' 1\\r\\n')
})
process.on('SIGTERM', () => { for (const socket of sockets) socket.resetAndDestroy() })`

async function startClients(lab: CopyLab, ...names: readonly string[]): Promise<Program> {
  const program = lab.hosts.client.spawn(process.execPath, ['-e', clients, ...names])
  await untilAnswered(program, CONNECTIONS)
  return program
}

async function untilAnswered(program: Program, count: number): Promise<void> {
  await program.waitForLine('stdout', (line) => line === `answers ${count}`)
}

async function untilAtTarget(lab: CopyLab, name: string): Promise<void> {
  const keys = Array.from({ length: CONNECTIONS }, (_, index) => `${name}:${index}`)
  await until(`all of ${name} is there`, async () => (await lab.askTarget('EXISTS', ...keys)) === `${CONNECTIONS}`)
}

/** How many connections replaced an older one: a SYN, a reset of the older connection, another SYN. */
function openedOverOlder(path: string): number {
  const fromClients = readPackets(path).filter(({ from }) => from === CLIENT)
  const ports = Array.from({ length: CONNECTIONS }, (_, index) => FIRST_PORT + index)
  return ports.filter((port) => {
    const flags = fromClients.filter(({ fromPort }) => fromPort === port).map(({ flags }) => flags)
    const reset = flags.findIndex((one) => one.includes('R'))
    return reset > 0 && flags.slice(0, reset).includes('S') && flags.slice(reset).includes('S')
  }).length
}

for (const isReopened of [true, false]) {
  const what = isReopened ? 'clients that reconnect from the same ports' : 'connections that go on'
  test(`after SIGKILL of tcpcopy, the next one copies ${what} completely`, async () => {
    await using lab = await openCopyLab()
    await lab.startRedisPair()
    await lab.startIntercept()
    const killed = await lab.startTcpcopy()
    const before = await startClients(lab, 'early', 'first', 'second', 'third', 'late')
    await untilAtTarget(lab, 'early')
    await killed.stop('SIGKILL')
    if (isReopened) await before.stop()
    const dump = await startPacketDump(lab.hosts.target, `tcp port ${PORT}`, `${lab.folder}/target.pcap`)
    const tcpcopy = await lab.startTcpcopy()
    const after = isReopened ? await startClients(lab, 'again', 'late') : before
    // A connection that goes on is joined after three requests that each followed an answer.
    for (const round of isReopened ? [2] : [2, 3, 4, 5]) {
      after.signal('SIGUSR2')
      await untilAnswered(after, round * CONNECTIONS)
    }
    if (isReopened) await untilAtTarget(lab, 'again')
    await untilAtTarget(lab, 'late')
    await finishCopy(tcpcopy, { sessionsStarted: CONNECTIONS, droppedBytes: isReopened ? 0 : some })
    await dump.stop()
    assert.equal(openedOverOlder(dump.path), CONNECTIONS)
  })
}
