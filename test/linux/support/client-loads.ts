/** What clients do in tests, on a host of the lab. */
import { fileURLToPath } from 'node:url'
import { type CopyLab, PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import type { Program } from '../../../lab/hosts/program.ts'

const BENCHMARK_LIMIT_MS = 120_000

/** SETs of one value to keys that hardly ever repeat: whichever of two comes last, the data is the same. */
export const SETS = ['-t', 'set', '-r', '2000000000']
/** A connection for each request. */
export const SHORT = ['-k', '0']

/** Runs redis-benchmark against the service at an address. */
export async function benchmark(client: Host, address: string, ...args: readonly string[]): Promise<void> {
  const options = { timeoutMs: BENCHMARK_LIMIT_MS }
  await client.mustRun('redis-benchmark', ['-h', address, '-p', `${PORT}`, '-q', ...args], options)
}

/**
 * Small requests, large ones, and short connections. Each load has its own keys: the copies of one may still be under way
 * when the next begins, and what two of them set would depend on that.
 */
export async function loadOfAllSizes(client: Host): Promise<void> {
  for (const [name, size, ...args] of [
    ['small', 3, '-c', '30', '-n', '3000'],
    ['large', 100_000, '-c', '5', '-n', '50'],
    ['short', 3, '-c', '10', '-n', '200', ...SHORT]
  ] as const) {
    const set = ['SET', `${name}:__rand_int__`, 'x'.repeat(size)]
    await benchmark(client, SOURCE, '-r', '2000000000', ...args, ...set)
  }
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

/** Connections that send one INCR after the other, each after the answer and a pause, until the program is stopped. */
export async function startSteadyLoad(client: Host, connections: number): Promise<Program> {
  const load = client.spawn(process.execPath, ['-e', steadyLoad, SOURCE, `${PORT}`, `${connections}`])
  await load.waitForLine('stdout', (line) => line === 'on')
  return load
}

/** Sets NAME:INDEX to values of these sizes, one after the other on one connection; each value has its own pattern. */
const patterns = `
const [host, port, name, ...sizes] = process.argv.slice(1)
const socket = require('net').connect(Number(port), host)
let answers = 0
const next = () => {
  if (answers === sizes.length) return socket.end()
  const size = Number(sizes[answers])
  const value = Buffer.alloc(size)
  for (let at = 0; at < size; at++) value[at] = (at * 31 + (at >>> 8) * 17 + size) & 255
  const key = name + ':' + answers
  socket.write('*3\\r\\n$3\\r\\nSET\\r\\n$' + key.length + '\\r\\n' + key + '\\r\\n$' + size + '\\r\\n')
  socket.write(value)
  socket.write('\\r\\n')
}
socket.on('connect', next)
socket.on('data', (data) => {
  for (let at = data.indexOf('+OK'); at >= 0; at = data.indexOf('+OK', at + 1)) answers++
  next()
})
`

/** Sets values whose bytes all differ from their neighbors: a gap, a repetition or an exchange changes the data. */
export async function setPatterns(
  client: Host,
  address: string,
  name: string,
  sizes: readonly number[]
): Promise<void> {
  await client.mustRun(process.execPath, ['-e', patterns, address, `${PORT}`, name, ...sizes.map(String)])
}

/** Twenty at a time, each with one request. */
const shortConnections = `
const [host, port, count] = process.argv.slice(1)
let left = Number(count)
const next = () => {
  if (left-- <= 0) return
  const socket = require('net').connect(Number(port), host)
  socket.write('INCR count\\r\\n')
  socket.on('data', () => socket.end())
  socket.on('close', next)
}
for (let worker = 0; worker < 20; worker++) next()
`

/** Short connections to the source, each with one INCR. */
export async function openShortConnections(client: Host, count: number): Promise<void> {
  await client.mustRun(process.execPath, ['-e', shortConnections, SOURCE, `${PORT}`, `${count}`])
}

const rawSegment = fileURLToPath(new URL('./programs/raw-segment.js', import.meta.url))

/** Sends the source one TCP segment that no socket would send. */
export async function sendRawSegment(
  client: Host,
  kind: 'bad-checksum' | 'fragmented',
  payload: string,
  port = PORT
): Promise<void> {
  await client.mustRun(process.execPath, [rawSegment, kind, SOURCE, `${port}`, payload])
}

/** Sends PING to the target's server from the assistant, a client whose answers intercept must not keep. @returns the answer */
export async function askTargetFromOutside(lab: CopyLab, target: string, patienceMs = 10_000): Promise<string> {
  const ask = `const socket = require('net').connect(${PORT}, '${target}', () => socket.write('PING\\r\\n'))
    socket.on('data', (data) => { process.stdout.write(data); socket.destroy() })
    setTimeout(() => socket.destroy(), ${patienceMs}).unref()`
  return (await lab.runScript(lab.hosts.assistant, ask)).trim()
}
