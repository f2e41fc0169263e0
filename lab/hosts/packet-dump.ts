/** tcpdump on a host of the lab. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from './host.ts'
import type { Program } from './program.ts'

/** What tcpdump prints at SIGUSR1, in one line, and at its end, in three. */
const REPORT = /(\d+) packets? captured,?\s(\d+) packets? received by filter,?\s(\d+) packets? dropped by kernel/g

/**
 * Longest wait for tcpdump to write what was received: the kernel hands over a block after 1 s at the latest. Packets from
 * before the filter took effect count as received but are never captured.
 */
const READ_WITHIN_MS = 5000

/** A running tcpdump, whose file readCapture reads. */
export class PacketDump {
  readonly program: Program
  readonly path: string
  /** How many times the kernel counts a captured packet as received: on lo it counts the sending as well. */
  readonly #times: number

  constructor(program: Program, path: string, device: string) {
    this.program = program
    this.path = path
    this.#times = device === 'lo' ? 2 : 1
  }

  /**
   * Stops the capture once everything received so far is in the file.
   * @returns how many packets the kernel dropped
   */
  async stop(): Promise<number> {
    for (const deadline = performance.now() + READ_WITHIN_MS; performance.now() < deadline; ) {
      this.program.signal('SIGUSR1')
      await sleep(50)
      const report = this.#lastReport()
      if (report !== undefined && report.captured * this.#times >= report.received - report.dropped) break
    }
    await this.program.stop('SIGINT')
    const report = this.#lastReport()
    if (report === undefined) throw new Error(this.program.describeEnd())
    return report.dropped
  }

  #lastReport() {
    const numbers = [...this.program.stderr.matchAll(REPORT)].at(-1)?.slice(1).map(Number)
    if (numbers === undefined) return undefined
    const [captured = 0, received = 0, dropped = 0] = numbers
    return { captured, received, dropped }
  }
}

export async function startPacketDump(host: Host, filter: string, path: string, device = 'eth0'): Promise<PacketDump> {
  // -Z root: by default tcpdump becomes a user who may not write to root's folders.
  const format = ['--time-stamp-precision=nano', '-s', '0', '-B', '65536', '-Z', 'root']
  const program = host.spawn('tcpdump', ['-i', device, '-n', ...format, '-w', path, filter])
  await program.waitForLine('stderr', (line) => line.includes('listening on'))
  return new PacketDump(program, path, device)
}
