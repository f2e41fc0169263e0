/** Capture files: reading speed, cost of a replay, and precision of its timing. */
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ASSISTANT, type CopyLab, MAP, OWN_PROGRAMS, openCopyLab, PORT, SOURCE } from '../../lab/hosts/copy-lab.ts'
import { lastStatistics } from '../../lab/hosts/json-log.ts'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import { CaptureReader } from '../../src/wire/capture-file/capture-reader.ts'
import { CapturedPacket, Step } from '../../src/wire/capture-file/captured-packet.ts'
import { arrivals } from '../loads/copy-delay.ts'
import { clientArguments } from '../loads/loads.ts'
import type { Fact, Work } from '../report/facts.ts'

const REQUESTS = 500_000
const READER_PACKETS = 1_000_000
const PACED_SECONDS = 10
const LIMIT_MS = 180_000
const POLL_MS = 20
const MICRO = 1e6
const TO_SERVER = `tcp dst port ${PORT}`
/** So much faster than the file that it only waits for the copy. */
const AT_ONCE = ['-a', '1000000']

/** A folder in memory, if this machine has /dev/shm. */
class Folder {
  readonly path: string

  constructor() {
    this.path = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'tcpcopy-bench-'))
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}

/** Writes a pcap file with microseconds and raw IP: `count` packets of `length` bytes each. */
function writePackets(path: string, count: number, length: number): void {
  const header = Buffer.alloc(24)
  header.writeUInt32LE(0xa1b2c3d4, 0)
  header.writeUInt16LE(2, 4)
  header.writeUInt16LE(4, 6)
  header.writeUInt32LE(0x40000, 16)
  header.writeUInt32LE(101, 20)
  const record = Buffer.alloc(16 + length, 0x45)
  record.writeUInt32LE(length, 8)
  record.writeUInt32LE(length, 12)
  const batch = Buffer.concat(new Array<Buffer>(1000).fill(record))
  writeFileSync(path, header)
  for (let written = 0; written < count; written += 1000) writeFileSync(path, batch, { flag: 'a' })
}

async function readPackets(path: string): Promise<number> {
  const reader = new CaptureReader()
  const packet = new CapturedPacket()
  let count = 0
  const take = (): void => {
    while (reader.next(packet) === Step.Packet) count++
  }
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) {
    reader.append(chunk as Buffer) // as: a stream without an encoding gives Buffers
    take()
  }
  reader.finish()
  take()
  return count
}

async function measureReader(): Promise<readonly Fact[]> {
  using folder = new Folder()
  const facts: Fact[] = []
  for (const length of [100, 1500]) {
    const path = join(folder.path, `${length}.pcap`)
    writePackets(path, READER_PACKETS, length)
    const startMs = performance.now()
    const count = await readPackets(path)
    const seconds = (performance.now() - startMs) / 1000
    if (count !== READER_PACKETS) throw new Error(`${count} of ${READER_PACKETS} packets were read.`)
    const what = `packets of ${length} bytes`
    const megabytes = statSync(path).size / MICRO / seconds
    facts.push({ name: `reader-${length}-rate`, what, unit: 'packets/s', digits: 0, value: count / seconds })
    facts.push({ name: `reader-${length}-bytes`, what, unit: 'MB/s', digits: 0, value: megabytes })
  }
  return facts
}

/** Records what clients send to the source's redis. */
async function recordOn(lab: CopyLab, path: string, load: () => Promise<unknown>): Promise<void> {
  const recorder = lab.hosts.source.spawn(OWN_PROGRAMS.tcpcopy, ['record', '-x', `${PORT}`, '-o', path, '-B', '256'])
  await recorder.waitForLine('stderr', (line) => line.includes('ready'), LIMIT_MS)
  await load()
  const { status } = await recorder.stop()
  if (status !== 0) throw new Error(recorder.describeEnd())
}

interface Replay {
  readonly seconds: number
  readonly cpuSeconds: number
  readonly statistics: Record<string, unknown>
}

async function replay(lab: CopyLab, args: readonly string[]): Promise<Replay> {
  const options = ['-x', MAP, '-s', ASSISTANT, '--log-format', 'json', ...args]
  const startMs = performance.now()
  const tcpcopy = lab.hosts.source.spawn(OWN_PROGRAMS.tcpcopy, options)
  let cpuSeconds = 0
  const timer = setInterval(() => {
    if (tcpcopy.exit === undefined) cpuSeconds = tcpcopy.cpuSeconds() || cpuSeconds
  }, POLL_MS)
  const { status } = await tcpcopy.exited
  clearInterval(timer)
  if (status !== 0) throw new Error(tcpcopy.describeEnd())
  const seconds = (performance.now() - startMs) / 1000
  return { seconds, cpuSeconds, statistics: lastStatistics(tcpcopy.stderr) ?? {} }
}

async function measureOffline(): Promise<readonly Fact[]> {
  using folder = new Folder()
  await using lab = await openCopyLab()
  const { source, target } = await lab.startRedisPair()
  const file = join(folder.path, 'requests.pcapng')
  const args = ['-h', SOURCE, '-p', `${PORT}`, '-t', 'set', '-q', '-d', '64', '-r', '100000', '-n', `${REQUESTS}`]
  await recordOn(lab, file, () => lab.hosts.client.mustRun('redis-benchmark', args, { timeoutMs: LIMIT_MS }))
  const intercept = await lab.startIntercept()
  const before = intercept.cpuSeconds()
  const { seconds, cpuSeconds } = await replay(lab, ['-i', file, ...AT_ONCE])
  const interceptSeconds = intercept.cpuSeconds() - before
  const requests = await source.requestCount()
  const us = (cpu: number): number => (cpu * MICRO) / requests
  const fact = (name: string, what: string, unit: string, digits: number, value: number): Fact => {
    return { name, what, unit, digits, value }
  }
  return [
    fact('offline-seconds', 'from start to exit', 's', 2, seconds),
    fact('offline-rate', 'requests', '/s', 0, requests / seconds),
    fact('offline-tcpcopy', 'CPU of tcpcopy per request, including start-up', 'µs', 1, us(cpuSeconds)),
    fact('offline-intercept', 'CPU of intercept per request', 'µs', 1, us(interceptSeconds)),
    fact('offline-both', 'CPU of both per request', 'µs', 1, us(cpuSeconds + interceptSeconds)),
    fact('offline-lost', 'requests lost', '', 0, requests - (await target.requestCount()))
  ]
}

/** When each request reached the target and when it was due by the file, in ms since the first one. */
async function replayTimes(lab: CopyLab, file: string, speed: number): Promise<{ sent: number[]; wanted: number[] }> {
  const path = join(lab.folder, `copy-${speed}.pcap`)
  const dump = await startPacketDump(lab.hosts.target, TO_SERVER, path)
  await replay(lab, ['-i', file, '-a', `${speed}`])
  await dump.stop()
  const base = Math.floor(Date.now() / 1000)
  const originals = await arrivals(file, base)
  const copies = await arrivals(path, base)
  if (copies.size !== originals.size) throw new Error(`${copies.size} of ${originals.size} requests were copied.`)
  const keys = [...originals.keys()]
  const since = (times: ReadonlyMap<string, number>): number[] => {
    const first = times.get(keys[0] ?? '') ?? Number.NaN
    return keys.map((key) => ((times.get(key) ?? Number.NaN) - first) / 1000)
  }
  return { sent: since(copies), wanted: since(originals).map((ms) => ms / speed) }
}

/** Differences between the gaps of two requests in the copy and in the file, sorted. */
function gapErrors(sent: readonly number[], wanted: readonly number[]): Float64Array {
  const gap = (times: readonly number[], index: number): number => (times[index] ?? 0) - (times[index - 1] ?? 0)
  return Float64Array.from(sent.slice(1), (_, index) => Math.abs(gap(sent, index + 1) - gap(wanted, index + 1))).sort()
}

async function measurePace(): Promise<readonly Fact[]> {
  await using lab = await openCopyLab()
  await lab.startRedisPair()
  const file = join(lab.folder, 'paced.pcap')
  const dump = await startPacketDump(lab.hosts.source, TO_SERVER, file)
  const task = clientArguments({ protocol: 'redis', connections: 8, intervalMs: 20, seconds: PACED_SECONDS })
  await lab.hosts.client.mustRun(process.execPath, task)
  await dump.stop()
  await lab.startIntercept()
  const facts: Fact[] = []
  for (const speed of [1, 2, 20]) {
    const { sent, wanted } = await replayTimes(lab, file, speed)
    const [took, due] = [sent.at(-1) ?? Number.NaN, wanted.at(-1) ?? Number.NaN]
    const what = `-a ${speed}: first to last request, due in ${(due / 1000).toFixed(2)} s`
    facts.push({ name: `pace-${speed}`, what, unit: 's', digits: 3, value: took / 1000 })
    const errors = gapErrors(sent, wanted)
    for (const share of [50, 99]) {
      const value = errors[Math.ceil((share / 100) * errors.length) - 1] ?? Number.NaN
      const name = `-a ${speed}: error of the interval between requests, ${share}th percentile`
      facts.push({ name: `pace-${speed}-p${share}`, what: name, unit: 'ms', digits: 3, value })
    }
  }
  return facts
}

export const fileReader: Work = {
  name: 'file-reader',
  title: 'parsing a capture file in memory',
  measure: measureReader
}

export const offline: Work = {
  name: 'offline',
  title: `replay of a file with ${REQUESTS.toLocaleString('en')} requests at full speed`,
  measure: measureOffline
}

export const pace: Work = {
  name: 'file-pace',
  title: `replay of a file of ${PACED_SECONDS} s at 1×, 2× and 20× speed`,
  measure: measurePace
}
