/** A link with delay between two hosts of the lab. */
import { fileURLToPath } from 'node:url'
import type { Host } from './host.ts'
import { Program } from './program.ts'

const relay = fileURLToPath(new URL('./relay.js', import.meta.url))
/** The name of the device at both ends. */
const DEVICE = 'wan'
/** Packets that the kernel queues while the relay gets no CPU time. */
const QUEUE_LENGTH = 20_000

interface End {
  readonly host: Host
  /** With prefix length: `10.78.0.10/24`. */
  readonly address: string
}

interface DirectionCounts {
  readonly carried: number
  /** By the relay, or by the kernel in front of it. */
  readonly dropped: number
  /** The most that a packet was late. */
  readonly latestMs: number
}

export interface LinkCounts {
  /** From the first end to the second, and back. */
  readonly directions: readonly DirectionCounts[]
  readonly cpuMs: number
}

/** A link between the devices `wan` of two hosts, which delays each packet by the same time. */
export class DelayLink {
  readonly #ends: readonly [End, End]
  readonly #program: Program
  #counts: LinkCounts | undefined

  private constructor(ends: readonly [End, End], program: Program) {
    this.#ends = ends
    this.#program = program
  }

  /** @param delayMs one way */
  static async open(ends: readonly [End, End], delayMs: number): Promise<DelayLink> {
    const names = ['wan-first', 'wan-second']
    const program = new Program('relay', process.execPath, [relay, `${delayMs}`, ...names])
    const link = new DelayLink(ends, program)
    try {
      await program.waitForLine('stdout', (line) => line === 'ready')
      for (const [index, { host, address }] of ends.entries()) {
        await mustRun('ip', 'link', 'set', names[index] ?? '', 'netns', host.name, 'name', DEVICE)
        await host.mustRun('ip', ['link', 'set', DEVICE, 'txqueuelen', `${QUEUE_LENGTH}`, 'up'])
        await host.mustRun('ip', ['address', 'add', address, 'dev', DEVICE])
      }
      return link
    } catch (error) {
      await program.stop()
      throw error
    }
  }

  /** Removes the link. @returns what it carried */
  async close(): Promise<LinkCounts> {
    if (this.#counts !== undefined) return this.#counts
    const refusedByKernel = await Promise.all(this.#ends.map(({ host }) => droppedBefore(host)))
    await this.#program.stop()
    const { directions, cpuMs }: LinkCounts = JSON.parse(this.#program.stdout.trimEnd().split('\n').at(-1) ?? '')
    const summed = directions.map((counts, index) => ({
      ...counts,
      dropped: counts.dropped + (refusedByKernel[index] ?? 0)
    }))
    this.#counts = { directions: summed, cpuMs }
    return this.#counts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Packets that the kernel dropped in front of the relay. */
async function droppedBefore(host: Host): Promise<number> {
  const [link] = JSON.parse(await host.mustRun('ip', ['-s', '-j', 'link', 'show', 'dev', DEVICE]))
  return link.stats64.tx.dropped
}

/** @throws Error with the command's output */
async function mustRun(command: string, ...args: readonly string[]): Promise<void> {
  const program = new Program(`${command} ${args.join(' ')}`, command, args)
  const { status } = await program.exited
  if (status !== 0) throw new Error(program.describeEnd())
}
