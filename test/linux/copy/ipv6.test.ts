/** Copies over IPv6, alone and together with IPv4. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  ASSISTANT,
  ASSISTANT_6,
  CLIENT_6,
  type CopyLab,
  MAP,
  openCopyLab,
  PORT,
  SOURCE,
  SOURCE_6,
  TARGET_6
} from '../../../lab/hosts/copy-lab.ts'
import type { Host } from '../../../lab/hosts/host.ts'
import { counter } from '../../../lab/hosts/json-log.ts'
import { startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import { some } from '../support/books.ts'
import { setPatterns } from '../support/client-loads.ts'
import { copied, startCopy } from '../support/copied.ts'
import { statisticsOf, until } from '../support/waiting.ts'

const MAP_6 = `${PORT}-[${TARGET_6}]:${PORT}`
const BOTH = `${MAP},${MAP_6}`
const DUAL = { isDual: true, answers: `src port ${PORT}` } as const
const SIZES = [1, 1428, 1429, 60_000, 200_000, 65_483, 200_000, 3]
const ALL_SIZES_DELIVERED = {
  deliveredBytes: (count: number) => count > SIZES.reduce((sum, size) => sum + size, 0)
}
const optionsClient = fileURLToPath(new URL('../support/programs/options-client.js', import.meta.url))

async function setFrom({ hosts }: CopyLab, source: string, name = source): Promise<void> {
  await setPatterns(hosts.client, source, name, SIZES)
}

async function assertNoFlaws(intercept: Parameters<typeof statisticsOf>[0]): Promise<void> {
  assert.equal(counter(await statisticsOf(intercept), 'flawedPackets'), 0)
}

for (const [way, offloads] of [
  ['auto', false],
  ['auto', true],
  ['ip', false],
  ['link', true],
  ['xdp', false]
] as const) {
  copied(
    `IPv6 and IPv4 clients are copied together, byte for byte, sent by ${way}, offloads ${offloads ? 'on' : 'off'}`,
    { ...DUAL, offloads, map: BOTH, tcpcopy: ['--send', way], books: ALL_SIZES_DELIVERED },
    async (copy) => {
      await Promise.all([setFrom(copy.lab, SOURCE), setFrom(copy.lab, SOURCE_6)])
      await copy.untilSame()
      await assertNoFlaws(copy.intercept)
    }
  )
}

const OWN_MAC = '02:00:00:00:00:66'

for (const { how, map = () => BOTH, intercept = [], tcpcopy = [], mac } of [
  { how: 'answers shared by three workers', intercept: ['--workers', '3'] },
  { how: 'captured as frames of a device', tcpcopy: ['-i', 'eth0'] },
  { how: 'sent through a given device', tcpcopy: ['-o', 'eth0'] },
  {
    how: 'sent with given MACs',
    map: (to: string) => `${MAP}@${to},${PORT}@${OWN_MAC}-[${TARGET_6}]:${PORT}@${to}`,
    tcpcopy: ['-o', 'eth0'],
    mac: OWN_MAC
  }
]) {
  test(`many connections of both versions are copied, byte for byte: ${how}`, async () => {
    await using lab = await openCopyLab({ isDual: true, offloads: true })
    const targetMac = (await lab.hosts.target.mustRun('cat', ['/sys/class/net/eth0/address'])).trim()
    const books = ALL_SIZES_DELIVERED
    const copy = await startCopy(lab, { ...DUAL, map: map(targetMac), intercept, tcpcopy, books })
    const filter = `ip6 and tcp dst port ${PORT} and ether src ${OWN_MAC}`
    const dump = await startPacketDump(lab.hosts.target, filter, join(lab.folder, 'mac.pcap'))
    await Promise.all(
      [0, 1, 2, 3, 4].flatMap((one) => [SOURCE, SOURCE_6].map((to) => setFrom(lab, to, `${to}/${one}`)))
    )
    await copy.untilSame()
    await dump.stop()
    assert.equal(/^0 packets captured/m.test(dump.program.stderr), mac === undefined)
    await assertNoFlaws(copy.intercept)
    await copy.end()
  })
}

copied(
  'a copy over IPv6 alone: channel, target in brackets, client addresses of a prefix',
  {
    isDual: true,
    routed: ['fd99::/64'],
    intercept: ['-b', ASSISTANT_6],
    answers: `src host ${TARGET_6}`,
    map: `[${SOURCE_6}]:${MAP_6}`,
    interceptAt: `[${ASSISTANT_6}]:36524`,
    tcpcopy: ['-c', 'fd99::/64', '--trace', CLIENT_6],
    books: ALL_SIZES_DELIVERED
  },
  async (copy) => {
    await setFrom(copy.lab, SOURCE_6)
    await copy.untilSame()
    await copy.tcpcopy.waitForLine('stderr', (line) => /\[fd77::10\]:\d+ captured/.test(line))
  }
)

/** Every twentieth packet to the service. */
const SOME_LOST = `-p tcp --dport ${PORT} -m statistic --mode nth --every 20 --packet 3 -j DROP`.split(' ')

copied(
  'lost packets of the copy are sent again',
  { ...DUAL, map: MAP_6, books: { retransmissions: some } },
  async (copy) => {
    await copy.hosts.target.mustRun('ip6tables', ['-t', 'raw', '-A', 'PREROUTING', ...SOME_LOST])
    await setFrom(copy.lab, SOURCE_6)
    await copy.untilSame()
  }
)

copied(
  'packets with extension headers are copied without them',
  { ...DUAL, map: BOTH, books: { sessionsJoined: 0 } },
  async (copy) => {
    const { lab, hosts } = copy
    const seen = await startPacketDump(hosts.source, 'ip6 proto 60', join(lab.folder, 'options.pcap'))
    for (let count = 0; count < 5; count++) {
      const args = [optionsClient, SOURCE_6, `${PORT}`, `SET key${count} value`]
      assert.equal((await hosts.client.mustRun(process.execPath, args)).trim(), '+OK')
    }
    await copy.untilSame()
    await seen.stop()
    assert.doesNotMatch(seen.program.stderr, /^0 packets captured/m)
  }
)

/** redis-cli on the client, over IPv6. */
async function ask(client: Host, ...words: readonly string[]): Promise<void> {
  await client.mustRun('redis-cli', ['-h', SOURCE_6, ...words])
}

copied(
  "with --acks drop, the kernel drops clients' acknowledgments over IPv6 too",
  { ...DUAL, map: BOTH, tcpcopy: ['--acks', 'drop'], books: { capturedPackets: (count) => count < 60 } },
  async (copy) => {
    const { client } = copy.hosts
    await ask(client, 'SETRANGE', 'large', '300000', 'end')
    for (let round = 0; round < 5; round++) await ask(client, 'GET', 'large')
    await copy.untilSame()
  }
)

test('an intercept of version 1 gets no routes of IPv6 clients, and tcpcopy warns once', async () => {
  await using lab = await openCopyLab({ isDual: true })
  await lab.startRedisPair()
  await lab.startIntercept(['--channel-version', '1'], DUAL.answers)
  const tcpcopy = await lab.startTcpcopy(['-x', MAP_6, '-s', ASSISTANT], false)
  await until('tcpcopy warns', () => tcpcopy.stderr.includes('version 1 of the channel does not support IPv6'))
  await ask(lab.hosts.client, 'PING')
  await until('the route is counted', async () => (counter(await statisticsOf(tcpcopy), 'routesUntold') ?? 0) > 0)
  assert.equal(tcpcopy.stderr.split('version 1 of the channel does not support IPv6').length, 2)
})
