/** A test on a running copy: it says what is particular, and the fixture starts, stops and checks the rest. */
import { test } from 'node:test'
import {
  ASSISTANT,
  CONNECTED,
  type CopyLab,
  type CopyLabOptions,
  type HostName,
  MAP,
  openCopyLab
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { hasMessage } from '../../../lab/hosts/json-log.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { type Server, type StartServer, startRedisServer } from '../../../lab/loads/server.ts'
import { type Books, type ExpectedBooks, stopCopy, untilSettled } from './books.ts'
import { stopCleanly, untilRequests, untilSame } from './waiting.ts'

/** What is particular about a copy. */
export interface CopyPlan {
  /** The service that is copied, on source and target; default: redis. */
  readonly server?: StartServer
  /** `-x` of tcpcopy; default: MAP. */
  readonly map?: string
  /** `-s` of tcpcopy; default: ASSISTANT. */
  readonly interceptAt?: string
  /** Other options of tcpcopy. */
  readonly tcpcopy?: readonly string[]
  /** Options of intercept beside `-i` and `-F`. */
  readonly intercept?: readonly string[]
  /** What intercept captures, as a filter beside `tcp`; default: all that the target sends. */
  readonly answers?: string
  /** What tcpcopy logs when its channel is up; default: CONNECTED. */
  readonly connected?: string
  /** Expected counters of tcpcopy at the end; `droppedBytes: 0` unless it is among them. */
  readonly books?: ExpectedBooks
}

interface CopiedPlan extends CopyPlan, CopyLabOptions {
  /** Sets the hosts up before a program starts. */
  readonly prepare?: (lab: CopyLab) => Promise<unknown>
}

/** A copy that runs: two servers and the two programs. */
export class Copy {
  readonly lab: CopyLab
  readonly source: Server
  readonly target: Server
  readonly intercept: Program
  readonly tcpcopy: Program
  readonly #expected: ExpectedBooks
  #books: Promise<Books> | undefined

  constructor(lab: CopyLab, servers: Servers, programs: CopyPrograms, expected: ExpectedBooks) {
    this.lab = lab
    this.source = servers.source
    this.target = servers.target
    this.intercept = programs.intercept
    this.tcpcopy = programs.tcpcopy
    this.#expected = expected
  }

  get hosts(): Readonly<Record<HostName, Host>> {
    return this.lab.hosts
  }

  /** Waits until the target has received the same requests as the source, and holds the same data. */
  async untilSame(): Promise<void> {
    await untilSame(this.source, this.target)
  }

  /** Waits until the target has received at least `count` requests. */
  async untilTargetHas(count: number): Promise<void> {
    await untilRequests(this.target, count)
  }

  /** Stops tcpcopy once nothing is pending, and checks its books. A second call returns the same books. */
  async finish(): Promise<Books> {
    if (this.#books === undefined) await untilSettled(this.tcpcopy)
    return await this.stop()
  }

  /** Stops tcpcopy at once, with what is pending, and checks its books. */
  async stop(): Promise<Books> {
    this.#books ??= stopCopy(this.tcpcopy, this.#expected)
    return await this.#books
  }

  /** Ends both programs, unless the test has: tcpcopy first, so that intercept keeps its answers to the end. */
  async end(): Promise<void> {
    await this.finish()
    if (!this.intercept.isStopping) await stopCleanly(this.intercept)
  }
}

interface Servers {
  readonly source: Server
  readonly target: Server
}

interface CopyPrograms {
  readonly intercept: Program
  readonly tcpcopy: Program
}

/**
 * Defines a test on a copy. Before the body runs, the lab is open, both servers serve and both programs are ready. After
 * it, both programs end with status 0 and the books are checked. The lab is removed however the body ends.
 */
export function copied(name: string, plan: CopiedPlan, body: (copy: Copy) => Promise<void>): void {
  test(name, async () => {
    await using lab = await openCopyLab(plan)
    await plan.prepare?.(lab)
    const copy = await startCopy(lab, plan)
    await body(copy)
    await copy.end()
  })
}

/** Starts the servers and the programs in a lab of the test's own, which also ends the copy. */
export async function startCopy(lab: CopyLab, plan: CopyPlan = {}): Promise<Copy> {
  const servers = await startServers(lab, plan.server)
  const intercept = await lab.startIntercept(plan.intercept, plan.answers)
  return new Copy(lab, servers, { intercept, tcpcopy: await startTcpcopy(lab, plan) }, plan.books ?? {})
}

async function startServers(lab: CopyLab, start: StartServer = startRedisServer): Promise<Servers> {
  const folder = lab.subfolder('servers')
  return { source: await start(lab.hosts.source, folder), target: await start(lab.hosts.target, folder) }
}

/** tcpcopy as a plan wants it, connected to intercept. */
async function startTcpcopy(lab: CopyLab, plan: CopyPlan): Promise<Program> {
  const { map = MAP, interceptAt = ASSISTANT, tcpcopy: args = [], connected = CONNECTED } = plan
  const tcpcopy = await lab.startTcpcopy(['-x', map, '-s', interceptAt, ...args], false)
  await tcpcopy.waitForLine('stderr', (line) => hasMessage(line, connected))
  return tcpcopy
}
