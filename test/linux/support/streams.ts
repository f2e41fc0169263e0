/** What clients sent to source and target, compared connection by connection and byte for byte. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { PORT } from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { type PacketDump, startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import { compareStreams } from '../../../lab/job/comparison.ts'
import { type ClientStreams, readClientStreams } from '../../../lab/job/pcap-streams.ts'

interface Side {
  readonly host: Host
  /** Of the service; default: any. */
  readonly address?: string
  /** Of the service; default: PORT. */
  readonly port?: number
  /** Default: eth0. */
  readonly device?: string
  /** A filter that all packets must pass as well. */
  readonly filter?: string
}

/** Captures at source and target. */
class StreamDumps {
  readonly source: PacketDump
  readonly target: PacketDump
  readonly #ports: readonly [source: number, target: number]

  constructor(source: PacketDump, target: PacketDump, ports: readonly [number, number]) {
    this.source = source
    this.target = target
    this.#ports = ports
  }

  /**
   * Ends both captures and checks that the target read what the source has read.
   * @param connectionsAbove no more connections than this would mean that the load did not run
   * @param rename changes the source's streams to what the target is to see
   */
  async assertSame(connectionsAbove: number, rename = (streams: ClientStreams) => streams): Promise<void> {
    for (const dump of [this.source, this.target]) assert.equal(await dump.stop(), 0, 'packets dropped by tcpdump')
    const [sourcePort, targetPort] = this.#ports
    const original = rename(await readClientStreams(this.source.path, sourcePort, 0))
    assertSameStreams(original, await readClientStreams(this.target.path, targetPort, 0), connectionsAbove)
  }
}

/** Starts a capture of the clients' packets on each side. */
export async function dumpStreams(folder: string, source: Side, target: Side): Promise<StreamDumps> {
  const dump = ({ host, address, port = PORT, device = 'eth0', filter }: Side, name: string): Promise<PacketDump> => {
    const filters = [`tcp dst port ${port}`, address && `dst host ${address}`, filter].filter(Boolean)
    return startPacketDump(host, filters.join(' and '), join(folder, `${name}.pcap`), device)
  }
  const ports = [source.port ?? PORT, target.port ?? PORT] as const
  return new StreamDumps(await dump(source, 'source'), await dump(target, 'target'), ports)
}

export function assertSameStreams(source: ClientStreams, target: ClientStreams, connectionsAbove: number): void {
  const { requests, connections } = compareStreams(source, target)
  assert.deepEqual([requests.lost, requests.duplicated, connections.altered], [0, 0, 0])
  assert.deepEqual([connections.equal, connections.target], [connections.source, connections.source])
  assert.ok(connections.source > connectionsAbove, `${connections.source} connections`)
}
