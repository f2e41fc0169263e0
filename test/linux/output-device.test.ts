/** Copies that leave by a device, and with MACs, that the operator names. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Host } from '../../lab/hosts/host.ts'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import { compareStreams } from '../../lab/job/comparison.ts'
import { readClientStreams } from '../../lab/job/pcap-streams.ts'
import {
  ASSISTANT,
  finishAndReadBooks,
  loadOfAllSizes,
  openCopyLab,
  PORT,
  SOURCE,
  TARGET,
  untilSame
} from './support/copy-lab.ts'

const OWN_MAC = '02:00:00:00:00:66'
/** Of the source's second device. */
const DEVICE_MAC = '02:00:00:00:00:0e'

function ip(words: string): void {
  execFileSync('ip', words.split(' '))
}

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
  /** Options of tcpcopy but for -s. @param targetMac of the target's eth0 */
  readonly args: (targetMac: string) => readonly string[]
  /** An address for eth1, which needs one to find MACs. */
  readonly address?: string
  /** Whom all frames of the copies are from. */
  readonly mac: string
}

const cases: readonly Case[] = [
  {
    name: 'a device alone finds the MAC of the target',
    offloads: true,
    args: () => ['-x', `${PORT}-${TARGET}:${PORT}`, '-o', 'eth1'],
    address: '10.77.0.8/24',
    mac: DEVICE_MAC
  },
  {
    name: 'a device without an address, and both MACs',
    offloads: false,
    args: (mac) => ['-x', `${SOURCE}:${PORT}@${OWN_MAC}-${TARGET}:${PORT}@${mac}`, '-o', 'eth1'],
    mac: OWN_MAC
  },
  {
    name: 'AF_XDP, and both MACs',
    offloads: false,
    args: (mac) => ['-x', `${PORT}@${OWN_MAC}-${TARGET}:${PORT}@${mac}`, '-o', 'eth1', '--send', 'xdp'],
    mac: OWN_MAC
  },
  {
    name: 'the device of the route, and a MAC of its own',
    offloads: true,
    args: (mac) => ['-x', `${PORT}@${OWN_MAC}-${TARGET}:${PORT}@${mac}`],
    mac: OWN_MAC
  }
]

for (const { name, offloads, args, address, mac } of cases) {
  test(`clients' bytes arrive as they were: ${name}`, async () => {
    await using lab = await openCopyLab({ offloads })
    const { target, client, source } = lab.hosts
    await addDevice(source)
    if (address !== undefined) ip(`-n source address add ${address} dev eth1`)
    const targetMac = (await target.mustRun('cat', ['/sys/class/net/eth0/address'])).trim()
    const redis = await lab.startRedisPair()
    await lab.startIntercept()
    const tcpcopy = await lab.startTcpcopy([...args(targetMac), '-s', ASSISTANT])
    const dumps = {
      source: await startPacketDump(
        source,
        `tcp dst port ${PORT} and dst host ${SOURCE}`,
        join(lab.folder, 'source.pcap')
      ),
      target: await startPacketDump(
        target,
        `tcp dst port ${PORT} and dst host ${TARGET} and ether src ${mac}`,
        join(lab.folder, 'target.pcap')
      )
    }
    await loadOfAllSizes(client)
    await untilSame(redis.source, redis.target)
    for (const dump of Object.values(dumps)) assert.equal(await dump.stop(), 0)
    const base = Math.floor(Date.now() / 1000) - 600
    const { requests, connections } = compareStreams(
      await readClientStreams(dumps.source.path, PORT, base),
      await readClientStreams(dumps.target.path, PORT, base)
    )
    assert.deepEqual([requests.lost, requests.duplicated, connections.altered], [0, 0, 0])
    assert.deepEqual([connections.equal, connections.target], [connections.source, connections.source])
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.captureDropped, books.droppedBytes, books.sendRefused], [0, 0, 0])
  })
}
