/** Copies that are sent through a given device, and with given MACs. */
import { test } from 'node:test'
import { openCopyLab, PORT, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { loadOfAllSizes } from '../support/client-loads.ts'
import { startCopy } from '../support/copied.ts'
import { ip } from '../support/namespace.ts'
import { dumpStreams } from '../support/streams.ts'

const OWN_MAC = '02:00:00:00:00:66'
/** Of the source's second device. */
const DEVICE_MAC = '02:00:00:00:00:0e'

/** Gives the source a second device on the lab's bridge, without an address. */
async function addDevice(source: Host): Promise<void> {
  // Each device answers for its own addresses only.
  await source.mustRun('sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore'])
  ip('link add port9 type veth peer name eth1 netns source')
  ip('link set port9 master lab0 up')
  ip(`-n source link set eth1 address ${DEVICE_MAC} up`)
}

interface Case {
  readonly name: string
  readonly offloads: boolean
  /** `-x`. @param targetMac of the target's eth0 */
  readonly map: (targetMac: string) => string
  /** Other options of tcpcopy. */
  readonly tcpcopy: readonly string[]
  /** An address for eth1, which needs one to find MACs. */
  readonly address?: string
  /** Source MAC of all frames of the copies. */
  readonly mac: string
}

const bothMacs = (targetMac: string): string => `${PORT}@${OWN_MAC}-${TARGET}:${PORT}@${targetMac}`

const cases: readonly Case[] = [
  {
    name: 'a device alone finds the MAC of the target',
    offloads: true,
    map: () => `${PORT}-${TARGET}:${PORT}`,
    tcpcopy: ['-o', 'eth1'],
    address: '10.77.0.8/24',
    mac: DEVICE_MAC
  },
  {
    name: 'a device without an address, and both MACs',
    offloads: false,
    map: (targetMac) => `${SOURCE}:${bothMacs(targetMac)}`,
    tcpcopy: ['-o', 'eth1'],
    mac: OWN_MAC
  },
  {
    name: 'AF_XDP, and both MACs',
    offloads: false,
    map: bothMacs,
    tcpcopy: ['-o', 'eth1', '--send', 'xdp'],
    mac: OWN_MAC
  },
  {
    name: 'the device of the route, and both MACs',
    offloads: true,
    map: bothMacs,
    tcpcopy: [],
    mac: OWN_MAC
  }
]

for (const { name, offloads, map, tcpcopy, address, mac } of cases) {
  test(`the target reads the clients' bytes: ${name}`, async () => {
    await using lab = await openCopyLab({ offloads })
    const { target, client, source } = lab.hosts
    await addDevice(source)
    if (address !== undefined) ip(`-n source address add ${address} dev eth1`)
    const targetMac = (await target.mustRun('cat', ['/sys/class/net/eth0/address'])).trim()
    const books = { captureDropped: 0, sendRefused: 0 }
    const copy = await startCopy(lab, { map: map(targetMac), tcpcopy, books })
    const fromMac = { host: target, address: TARGET, filter: `ether src ${mac}` }
    const dumps = await dumpStreams(lab.folder, { host: source, address: SOURCE }, fromMac)
    await loadOfAllSizes(client)
    await copy.untilSame()
    await dumps.assertSame(200)
    await copy.end()
  })
}
