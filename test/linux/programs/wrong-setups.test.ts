/** Set-ups that cannot work: the programs say what is wrong, and not only that something is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  ASSISTANT,
  CLIENT,
  type CopyLab,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  startReady,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { hasMessage } from '../../../lab/hosts/json-log.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { stopCleanly } from '../support/waiting.ts'

const PATIENCE_MS = 40_000

interface Warning {
  readonly hint: string
  readonly level: string
  readonly connections: number
  readonly unanswered: number
  readonly refused: number
  readonly networks: readonly string[]
}

/** The first log entry with the message. */
async function entryOf(program: Program, message: string): Promise<Warning> {
  const line = await program.waitForLine('stderr', (one) => hasMessage(one, message), PATIENCE_MS)
  return JSON.parse(line) as Warning // as: our own log
}

/** Servers on these ports of a host, which answer each chunk with one byte. */
async function serve(host: Host, ports: readonly number[]): Promise<void> {
  const script = `for (const port of ${JSON.stringify(ports)})
    require('net').createServer((socket) => socket.on('data', () => socket.write('.')).on('error', () => {})).listen(port)`
  host.spawn(process.execPath, ['-e', script])
  for (const port of ports) await host.waitForPort(port)
}

/** A client that asks these places again and again, each time on a new connection. */
function askAll(host: Host, places: readonly (readonly [address: string, port: number, from?: string])[]): Program {
  const script = `setInterval(() => {
    for (const [host, port, localAddress] of ${JSON.stringify(places)}) {
      const socket = require('net').connect({ host, port, localAddress }, () => socket.write('x'))
      socket.on('data', () => socket.end()).on('error', () => {})
    }
  }, 500)`
  return host.spawn(process.execPath, ['-e', script])
}

test('each wrong set-up is named by what was seen of it', async () => {
  await using lab = await openCopyLab()
  const { client, source } = lab.hosts
  const ports = [7001, 7002, 7003, 7004, 7005]
  await serve(source, ports)
  await source.mustRun('nft', ['add table ip t; add chain ip t o { type filter hook output priority 0; }'])
  await source.mustRun('nft', [`add rule ip t o ip daddr ${TARGET} tcp dport 7003 drop`])
  const intercept = await lab.startIntercept()
  const start = (map: string, ...args: readonly string[]): Promise<Program> =>
    lab.startTcpcopy(['-x', map, '-s', ASSISTANT, ...args])
  const copies = [
    await start('7001-10.77.0.99:7001'),
    await start(`7002-${TARGET}:7002`),
    await start(`7003-${TARGET}:7003`, '--send', 'ip'),
    await start(`7004-${TARGET}:7004`),
    await start(`7005-${TARGET}:7005`)
  ]
  askAll(client, [
    [SOURCE, 7001],
    [SOURCE, 7002],
    [SOURCE, 7003]
  ])
  askAll(source, [
    ['127.0.0.1', 7004],
    [SOURCE, 7005]
  ])
  const silent = 'no answers from the target'
  const expected = [
    [silent, /The cause:\n {2}- the next hop 10\.77\.0\.99 on eth0 does not answer ARP/],
    [
      'the target refuses all connections',
      /resets \(all\): they come from a host on the same network \(TTL 64\): nothing listens on port 7002/
    ],
    [silent, /The cause:\n {2}- this host refused to send \d+ packets \(EPERM\): its firewall drops the copies/],
    [silent, /The cause:\n {2}- clients connect from the loopback address \(all\).*-H/],
    [silent, /- the copies have an address of this host \(all\)/]
  ] as const
  for (const [index, [message, hint]] of expected.entries()) {
    const copy = copies[index]
    assert.ok(copy)
    const warning = await entryOf(copy, message)
    assert.match(warning.hint, hint)
    assert.ok(warning.refused <= warning.connections)
  }
  for (const copy of copies) await stopCleanly(copy)
  await stopCleanly(intercept)
})

test('without a route at the target both programs say so, and that it is over; later forwarding is noticed', async () => {
  await using lab = await openCopyLab({ routed: [] })
  const { client, source, target, assistant } = lab.hosts
  await serve(source, [PORT])
  await serve(target, [PORT])
  const intercept = await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  await sleep(2000)
  askAll(client, [[SOURCE, PORT]])
  const { hint } = await entryOf(tcpcopy, 'no answers from the target')
  assert.match(
    hint,
    /most likely first:\n {2}- the target has no route .*routes and captures nothing\).*ip route get 10\.77\.0\.10/
  )
  assert.doesNotMatch(hint, /ip_forward/)
  const announced = await entryOf(intercept, 'tcpcopy announces clients, but no answers of the target arrive')
  assert.match(announced.hint, /arrives on eth0/)
  await target.mustRun('ip', ['route', 'add', `${CLIENT}/32`, 'via', ASSISTANT])
  await entryOf(tcpcopy, 'the target accepts connections again')
  await entryOf(intercept, 'answers of the target arrive')
  // The setting of the device alone, so that the answers do not really reach the client.
  await assistant.mustRun('sysctl', ['-w', 'net.ipv4.conf.eth0.forwarding=1'])
  await entryOf(intercept, "this host now forwards packets, so the target's answers reach the real clients")
  await assistant.mustRun('sysctl', ['-w', 'net.ipv4.conf.eth0.forwarding=0'])
  await entryOf(intercept, 'this host forwards no packets any more')
  await stopCleanly(tcpcopy)
  // A client of the target itself, whose answers the route still leads here.
  askAll(client, [[TARGET, PORT]])
  await entryOf(intercept, 'answers of the target arrive, but no tcpcopy is connected')
  await stopCleanly(intercept)
})

test('a route for one client of four is reported with the networks of the others', async () => {
  await using lab = await openCopyLab({
    moreClients: ['10.77.0.11', '10.77.0.12', '10.77.0.13'],
    routed: [`${CLIENT}/32`]
  })
  const { client, source, target } = lab.hosts
  await serve(source, [PORT])
  await serve(target, [PORT])
  const intercept = await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  askAll(
    client,
    [10, 11, 12, 13].map((host) => [SOURCE, PORT, `10.77.0.${host}`] as const)
  )
  const { networks, connections, unanswered } = await entryOf(tcpcopy, 'some clients get no answers from the target')
  assert.deepEqual(
    networks.map((text) => text.replace(/ .*/, '')),
    ['10.77.0.12/31', '10.77.0.11']
  )
  assert.ok(unanswered < connections)
  await stopCleanly(tcpcopy)
  await stopCleanly(intercept)
})

/** Starts a tcpcopy that captures nothing, without an intercept. */
async function silenceOf(lab: CopyLab, map: string, ...args: readonly string[]): Promise<Program> {
  return await startReady(lab.hosts.source, TCPCOPY, ['-x', map, '-s', ASSISTANT, ...args])
}

test('if nothing is captured, tcpcopy says what is seen instead', async () => {
  await using lab = await openCopyLab()
  const { client, source, target } = lab.hosts
  await serve(source, [PORT, 7001])
  await serve(target, [7100])
  await source.mustRun('nft', ['add table ip t; add chain ip t p { type nat hook prerouting priority -100; }'])
  await source.mustRun('nft', ['add rule ip t p tcp dport 7300 redirect to :7301'])
  const programs = [
    await silenceOf(lab, `7000-${TARGET}:7000`),
    await silenceOf(lab, `7100-${TARGET}:7101`),
    await silenceOf(lab, MAP, '-F', 'src net 10.99.0.0/16'),
    await silenceOf(lab, `7301-${TARGET}:7301`),
    await silenceOf(lab, `7001-${TARGET}:7001`)
  ]
  askAll(client, [[SOURCE, PORT]])
  const silent = 'nothing is captured'
  const expected = [
    /nothing listens on port 7000 of this host.*\n {2}busiest instead: 10\.77\.0\.1:6379 on eth0/,
    /a program listens on port 7100 in another network namespace.*nsenter -t \d+ -n/,
    /eth0 carries traffic to 10\.77\.0\.1:6379, but nothing that matches -F src net/,
    /port 7300 of this host is published to port 7301\. Copy what arrives there: -x 7300-/
  ]
  for (const [index, hint] of expected.entries()) {
    const program = programs[index]
    assert.ok(program)
    const warning = await entryOf(program, silent)
    assert.equal(warning.level, 'warn')
    assert.match(warning.hint, hint)
  }
  const idle = programs[4]
  assert.ok(idle)
  assert.equal((await entryOf(idle, 'nothing is captured yet: no client sends anything')).level, 'info')
  assert.ok(!idle.stderr.includes(`"${silent}"`))
  for (const program of programs) await stopCleanly(program)
})
