import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from './host.ts'
import type { Program } from './program.ts'

/** tcpdump hands packets over in blocks that the kernel closes after 1 s at the latest. */
const blockTimeoutMs = 1200

/** tcpdump on a host, into a file that readCapture reads. */
export class PacketDump {
  readonly program: Program
  readonly path: string

  constructor(program: Program, path: string) {
    this.program = program
    this.path = path
  }

  /**
   * Ends the capture once all that came so far is in the file.
   * @returns how many packets the kernel dropped
   */
  async stop(): Promise<number> {
    await sleep(blockTimeoutMs)
    await this.program.stop('SIGINT')
    const dropped = /(\d+) packets? dropped by kernel/.exec(this.program.stderr)?.[1]
    if (dropped === undefined) throw new Error(this.program.describeEnd())
    return Number(dropped)
  }
}

export async function startPacketDump(host: Host, filter: string, path: string, device = 'eth0'): Promise<PacketDump> {
  // -Z root: the user that tcpdump becomes otherwise may not write to a folder of root's.
  const format = ['--time-stamp-precision=nano', '-s', '0', '-B', '65536', '-Z', 'root']
  const program = host.spawn('tcpdump', ['-i', device, '-n', ...format, '-w', path, filter])
  await program.waitForLine('stderr', (line) => line.includes('listening on'))
  return new PacketDump(program, path)
}
