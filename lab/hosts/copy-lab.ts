/** The four hosts of a copy, and the two programs as an operator starts them. */
import { fileURLToPath } from 'node:url'
import { type Redis, startRedis } from '../job/redis.ts'
import type { Host } from './host.ts'
import { hasMessage } from './json-log.ts'
import { type Lab, openLab } from './lab.ts'
import type { Program } from './program.ts'

/** dist/lab/hosts/copy-lab.js → the checkout. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url))

export const CLIENT = '10.77.0.10'
export const SOURCE = '10.77.0.1'
export const TARGET = '10.77.0.2'
export const ASSISTANT = '10.77.0.3'
/** The same hosts over IPv6. */
export const CLIENT_6 = 'fd77::10'
export const SOURCE_6 = 'fd77::1'
export const TARGET_6 = 'fd77::2'
export const ASSISTANT_6 = 'fd77::3'
/** The port of the copied service, on source and target. */
export const PORT = 6379
export const MAP = `${PORT}-${TARGET}:${PORT}`

/** Far more than a start takes; it only bounds one that fails. */
const READY_TIMEOUT_MS = 20_000
const JSON_LOG = ['--log-format', 'json']
/** What tcpcopy logs when intercept has accepted it. */
export const CONNECTED = 'connected to intercept'

/** Paths of the two programs. */
export interface Programs {
  readonly tcpcopy: string
  readonly intercept: string
}

/** The programs of this checkout. */
export const TCPCOPY = `${ROOT}bin/tcpcopy`
export const INTERCEPT = `${ROOT}bin/intercept`
export const OWN_PROGRAMS: Programs = { tcpcopy: TCPCOPY, intercept: INTERCEPT }

export interface CopyLabOptions {
  readonly offloads?: boolean | undefined
  /** As in `LabPlan`. */
  readonly hasNetworkThreads?: boolean | undefined
  /** Networks whose packets the target sends to the assistant; default: the client. */
  readonly routed?: readonly string[]
  /** More addresses of the client, in the lab's own network; `routed` must include them. */
  readonly moreClients?: readonly string[]
  /** Whether the hosts have IPv6 addresses as well. */
  readonly isDual?: boolean
  /** Default: those of this checkout. */
  readonly programs?: Programs
}

export type HostName = 'client' | 'source' | 'target' | 'assistant'

export class CopyLab {
  readonly hosts: Readonly<Record<HostName, Host>>
  readonly #lab: Lab<HostName>
  readonly #programs: Programs

  constructor(lab: Lab<HostName>, programs: Programs) {
    this.#lab = lab
    this.#programs = programs
    this.hosts = lab.hosts
  }

  /** For files; removed with the lab. */
  get folder(): string {
    return this.#lab.folder
  }

  subfolder(name: string): string {
    return this.#lab.subfolder(name)
  }

  /** Starts a redis-server on source and target. */
  async startRedisPair(port = PORT): Promise<{ readonly source: Redis; readonly target: Redis }> {
    const folder = this.subfolder(`${port}`)
    return {
      source: await startRedis(this.hosts.source, port, folder),
      target: await startRedis(this.hosts.target, port, folder)
    }
  }

  /** Starts intercept on the assistant, and waits until it is ready. */
  async startIntercept(args: readonly string[] = [], from = `src host ${TARGET}`): Promise<Program> {
    const filter = ['-i', 'eth0', '-F', `tcp and ${from}`]
    return await startReady(this.hosts.assistant, this.#programs.intercept, [...filter, ...args])
  }

  /** Starts tcpcopy on the source, and waits until it is ready and, by default, connected. */
  async startTcpcopy(args: readonly string[] = ['-x', MAP, '-s', ASSISTANT], isConnected = true): Promise<Program> {
    const start = isConnected ? startConnected : startReady
    return await start(this.hosts.source, this.#programs.tcpcopy, args)
  }

  /** Runs redis-cli on the client against the source. @returns the answer */
  async ask(...words: readonly string[]): Promise<string> {
    return (await this.hosts.client.mustRun('redis-cli', ['-h', SOURCE, ...words])).trim()
  }

  /** Runs redis-cli on the target against its own server. */
  async askTarget(...words: readonly string[]): Promise<string> {
    return (await this.hosts.target.mustRun('redis-cli', words)).trim()
  }

  /** Runs a Node.js script on a host to its end. @returns its stdout */
  async runScript(host: Host, script: string, ...args: readonly string[]): Promise<string> {
    return await host.mustRun(process.execPath, ['-e', script, ...args])
  }

  /** A second call does nothing. */
  async close(): Promise<void> {
    await this.#lab.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Builds the hosts, with routes on the target that send its answers to the assistant. */
export async function openCopyLab(options: CopyLabOptions = {}): Promise<CopyLab> {
  const isDual = options.isDual === true
  const addresses = (ipv4: string, ipv6: string): readonly string[] => (isDual ? [ipv4, ipv6] : [ipv4])
  const routed = options.routed ?? addresses(`${CLIENT}/32`, `${CLIENT_6}/128`)
  const lab = await openLab({
    hosts: {
      client: { addresses: [...addresses(CLIENT, CLIENT_6), ...(options.moreClients ?? [])] },
      source: { addresses: addresses(SOURCE, SOURCE_6) },
      target: { addresses: addresses(TARGET, TARGET_6) },
      assistant: { addresses: addresses(ASSISTANT, ASSISTANT_6) }
    },
    routes: routed.map((to) => ({ on: 'target' as const, to, via: to.includes(':') ? ASSISTANT_6 : ASSISTANT })),
    offloads: options.offloads ?? false,
    hasNetworkThreads: options.hasNetworkThreads ?? false
  })
  return new CopyLab(lab, options.programs ?? OWN_PROGRAMS)
}

/** Starts one of the two programs and waits until it says that it is ready. */
export async function startReady(host: Host, path: string, args: readonly string[]): Promise<Program> {
  const program = host.spawn(path, [...args, ...JSON_LOG])
  await program.waitForLine('stderr', (line) => hasMessage(line, 'ready'), READY_TIMEOUT_MS)
  return program
}

/** Starts tcpcopy and waits until it is connected to intercept as well. */
export async function startConnected(host: Host, path: string, args: readonly string[]): Promise<Program> {
  const tcpcopy = await startReady(host, path, args)
  await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, CONNECTED))
  return tcpcopy
}
