/** The four hosts of a copy, the two programs as an operator starts them, and what is asked of them in the end. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Host } from '../../lab/host.ts'
import { hasMessage, type LogEntry, lastStatistics } from '../../lab/json-log.ts'
import { type Lab, openLab } from '../../lab/lab.ts'
import type { Program } from '../../lab/program.ts'
import { type Redis, startRedis } from '../../lab/redis.ts'

/** dist/test/linux/copy-lab.js → the checkout. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
export const TCPCOPY = `${ROOT}bin/tcpcopy`
export const INTERCEPT = `${ROOT}bin/intercept`

export const CLIENT = '10.77.0.10'
export const SOURCE = '10.77.0.1'
export const TARGET = '10.77.0.2'
export const ASSISTANT = '10.77.0.3'
export const PORT = 6379
export const MAP = `${PORT}-${TARGET}:${PORT}`

/** Far more than anything here takes; it bounds a test that fails. */
const PATIENCE_MS = 20_000
const JSON_LOG = ['--log-format', 'json']

interface CopyLabOptions {
  readonly offloads?: boolean
  /** Networks whose packets the target sends to the assistant; default: the client. */
  readonly routed?: readonly string[]
}

type HostName = 'client' | 'source' | 'target' | 'assistant'

export class CopyLab {
  readonly hosts: Readonly<Record<HostName, Host>>
  /** For files of the test; it vanishes with the lab. */
  readonly folder: string
  readonly #lab: Lab<HostName>

  constructor(lab: Lab<HostName>, folder: string) {
    this.#lab = lab
    this.hosts = lab.hosts
    this.folder = folder
  }

  /** A redis-server on source and target. */
  async startRedisPair(port = PORT): Promise<{ readonly source: Redis; readonly target: Redis }> {
    const folder = join(this.folder, `${port}`)
    mkdirSync(folder)
    return {
      source: await startRedis(this.hosts.source, port, folder),
      target: await startRedis(this.hosts.target, port, folder)
    }
  }

  /** intercept on the assistant, ready. */
  async startIntercept(args: readonly string[] = []): Promise<Program> {
    const filter = ['-i', 'eth0', '-F', 'tcp and src host 10.77.0.2']
    return await startReady(this.hosts.assistant, INTERCEPT, [...filter, ...args])
  }

  /** tcpcopy on the source, ready; connected as well, unless told otherwise. */
  async startTcpcopy(args: readonly string[] = ['-x', MAP, '-s', ASSISTANT], isConnected = true): Promise<Program> {
    const tcpcopy = await startReady(this.hosts.source, TCPCOPY, args)
    if (isConnected) await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, 'connected to intercept'))
    return tcpcopy
  }

  /** redis-cli on the client, to the source. @returns what redis answered */
  async ask(...words: readonly string[]): Promise<string> {
    return (await this.hosts.client.mustRun('redis-cli', ['-h', SOURCE, ...words])).trim()
  }

  /** redis-cli on the target, to its own server. */
  async askTarget(...words: readonly string[]): Promise<string> {
    return (await this.hosts.target.mustRun('redis-cli', words)).trim()
  }

  /** Runs a script of Node's on a host, to its end. @returns its stdout */
  async runScript(host: Host, script: string, ...args: readonly string[]): Promise<string> {
    return await host.mustRun(process.execPath, ['-e', script, ...args])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#lab.close()
    } finally {
      rmSync(this.folder, { recursive: true, force: true })
    }
  }
}

export async function openCopyLab(options: CopyLabOptions = {}): Promise<CopyLab> {
  const lab = await openLab({
    hosts: {
      client: { addresses: [CLIENT] },
      source: { addresses: [SOURCE] },
      target: { addresses: [TARGET] },
      assistant: { addresses: [ASSISTANT] }
    },
    routes: (options.routed ?? [`${CLIENT}/32`]).map((to) => ({ on: 'target' as const, to, via: ASSISTANT })),
    offloads: options.offloads ?? false
  })
  return new CopyLab(lab, mkdtempSync(join(tmpdir(), 'copy-lab-')))
}

/** Starts one of the two programs and waits until it says that it is ready. */
export async function startReady(host: Host, path: string, args: readonly string[]): Promise<Program> {
  const program = host.spawn(path, [...args, ...JSON_LOG])
  await program.waitForLine('stderr', (line) => hasMessage(line, 'ready'), PATIENCE_MS)
  return program
}

/** Waits until the condition holds. @throws AssertionError that says what did not come about */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; !(await condition()); await sleep(20)) {
    assert.ok(performance.now() < deadline, `in ${PATIENCE_MS} ms it did not come about: ${what}`)
  }
}

/** Waits until both servers have had the same number of commands, and holds their data to be the same. */
export async function untilSame(source: Redis, target: Redis): Promise<void> {
  const expected = await source.commandCount()
  await until(`the target has had ${expected} commands`, async () => (await target.commandCount()) >= expected)
  assert.equal(await target.commandCount(), expected)
  assert.equal(await target.dataDigest(), await source.dataDigest())
}

/** The statistics that a program of ours writes now, on SIGUSR2. */
export async function statisticsOf(program: Program): Promise<LogEntry> {
  const count = (): number => program.stderr.split('\n').filter((line) => hasMessage(line, 'statistics')).length
  const before = count()
  program.signal('SIGUSR2')
  await until(`${program.name} writes statistics`, () => count() > before)
  return lastStatistics(program.stderr) ?? {}
}

/** Waits until a counter of a program's statistics is as the condition wants it. */
export async function untilCounter(program: Program, name: string, isRight: (count: number) => boolean): Promise<void> {
  let last: unknown
  const isReached = async (): Promise<boolean> => {
    last = (await statisticsOf(program))[name] ?? 0
    return typeof last === 'number' && isRight(last)
  }
  await until(`${program.name} counts ${name} as awaited`, isReached).catch((error: unknown) => {
    throw new Error(`${name} is ${last}`, { cause: error })
  })
}

/** Waits until the target has acknowledged what it was sent, and ends tcpcopy. @returns the final statistics */
export async function finishAndReadBooks(tcpcopy: Program): Promise<Readonly<Record<string, number>>> {
  await untilCounter(tcpcopy, 'pendingBytes', (count) => count === 0)
  return await stopAndReadBooks(tcpcopy)
}

/** Ends tcpcopy as an operator does: exit 0, and books that close. @returns the final statistics */
export async function stopAndReadBooks(tcpcopy: Program): Promise<Readonly<Record<string, number>>> {
  assert.deepEqual(await tcpcopy.stop(), { status: 0, signal: null }, tcpcopy.stderr)
  const entries = Object.entries(lastStatistics(tcpcopy.stderr) ?? {})
  const counters = Object.fromEntries(
    entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number')
  )
  const sum = (names: readonly string[]): number => names.reduce((total, name) => total + (counters[name] ?? 0), 0)
  const drops = Object.keys(counters).filter((name) => /^dropped\..*\.bytes$/.test(name))
  assert.equal(counters.unaccountedBytes, 0, JSON.stringify(counters))
  assert.equal(counters.capturedPayloadBytes, sum(['deliveredBytes', 'duplicateBytes', 'pendingBytes', ...drops]))
  assert.equal(counters.pendingBytes, 0)
  assert.equal(counters.poolUsedBytes, 0)
  assert.equal(counters.sessionsStarted, counters.sessionsEnded)
  return counters
}
