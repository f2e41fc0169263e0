/** The delay from a client's packet to its copy. */
import type { CopyLab, HostName } from '../../lab/hosts/copy-lab.ts'
import { PORT } from '../../lab/hosts/copy-lab.ts'
import { type PacketDump, startPacketDump } from '../../lab/hosts/packet-dump.ts'
import { type Delay, delayOf } from '../../lab/job/comparison.ts'
import { readCapture } from '../../lab/job/pcap-file.ts'
import { PROBE_PORT } from './loads.ts'

/** Captures at source and target. A copy keeps the client's address, port and sequence numbers. */
export class DelayWatch {
  readonly #dumps: readonly [PacketDump, PacketDump]
  readonly #baseSeconds = Math.floor(Date.now() / 1000)

  constructor(source: PacketDump, target: PacketDump) {
    this.#dumps = [source, target]
  }

  /** Stops the captures. */
  async delay(): Promise<Delay> {
    const [source, target] = this.#dumps
    await Promise.all([source.stop(), target.stop()])
    const originals = await arrivals(source.path, this.#baseSeconds)
    const copies = await arrivals(target.path, this.#baseSeconds)
    const delays: number[] = []
    for (const [key, timeUs] of originals) {
      const copyUs = copies.get(key)
      if (copyUs !== undefined) delays.push(copyUs - timeUs)
    }
    return delayOf(delays)
  }
}

export async function watchDelay(lab: CopyLab, timed: 'probe' | 'every packet'): Promise<DelayWatch> {
  const which = timed === 'probe' ? ` and src port ${PROBE_PORT}` : ''
  const dump = (name: HostName) => {
    const host = lab.hosts[name]
    const filter = `tcp and dst host ${host.address} and dst port ${PORT}${which}`
    return startPacketDump(host, filter, `${lab.folder}/${name}.pcap`)
  }
  return new DelayWatch(await dump('source'), await dump('target'))
}

/** The first capture time of each segment with payload, by its connection and sequence number. */
export async function arrivals(path: string, baseSeconds: number): Promise<Map<string, number>> {
  const times = new Map<string, number>()
  await readCapture(path, baseSeconds, ({ sourceAddress, sourcePort, seq, payload, timeUs }) => {
    const key = `${sourceAddress}:${sourcePort}:${seq}`
    if (payload.length > 0 && !times.has(key)) times.set(key, timeUs)
  })
  return times
}
