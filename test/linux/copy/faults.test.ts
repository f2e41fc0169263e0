/** Faults of the network, the target and intercept under load: none of them may cost a request. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { CLIENT, type CopyLab, PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { addRules } from '../../../lab/hosts/nftables.ts'
import { startRedis } from '../../../lab/job/redis.ts'
import { loseAround, pause } from '../../../lab/loads/faults.ts'
import { type ExpectedBooks, some } from '../support/books.ts'
import { benchmark, SETS, startSteadyLoad } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'
import { stopCleanly, until, untilCounter } from '../support/waiting.ts'

/** The ring holds a whole load, however little CPU time tcpcopy gets. */
const RING = ['-B', '128']
const NOTHING_MISSED: ExpectedBooks = { captureDropped: 0 }

/** SETs from the client to the source. */
async function load({ hosts }: CopyLab, ...args: readonly string[]): Promise<void> {
  await benchmark(hosts.client, SOURCE, ...SETS, ...args)
}

for (const perMille of [1, 10, 50]) {
  copied(
    `${perMille / 10} % of packets lost towards the target, and as many from it, cost no request`,
    {
      tcpcopy: RING,
      books: { ...NOTHING_MISSED, retransmissions: some },
      prepare: ({ hosts }) => loseAround(hosts.target, PORT, perMille)
    },
    async (copy) => {
      await load(copy.lab, '-c', '50', '-n', '5000', '-d', '600')
      // The next load may pick the same keys (it seeds by second and PID), so these SETs must arrive first.
      await copy.untilSame()
      await load(copy.lab, '-c', '5', '-n', '50', '-d', '50000')
      await copy.untilSame()
    }
  )
}

copied(
  'a target with an MTU of 576 receives everything in segments that fit',
  {
    tcpcopy: RING,
    books: NOTHING_MISSED
  },
  async (copy) => {
    await copy.hosts.target.mustRun('ip', ['link', 'set', 'eth0', 'mtu', '576'])
    await load(copy.lab, '-c', '10', '-n', '500', '-d', '20000')
    await copy.untilSame()
  }
)

copied(
  'a path that silently drops packets of more than 1000 bytes gets smaller ones',
  { tcpcopy: RING, books: { ...NOTHING_MISSED, segmentsHalved: some } },
  async (copy) => {
    await addRules(copy.hosts.target, 'ip', 'large', 'input', `tcp dport ${PORT} ip length > 1000 drop`)
    await load(copy.lab, '-c', '10', '-n', '100', '-d', '20000')
    await copy.untilSame()
  }
)

for (const offloads of [false, true]) {
  copied(
    `requests of 100 kB on 20 connections arrive, offloads ${offloads ? 'on' : 'off'}`,
    { offloads, tcpcopy: RING, books: NOTHING_MISSED },
    async (copy) => {
      await load(copy.lab, '-c', '20', '-n', '400', '-d', '100000')
      await copy.untilSame()
    }
  )
}

copied(
  'one connection that sends as fast as it can is copied completely',
  { tcpcopy: RING, books: NOTHING_MISSED },
  async (copy) => {
    await load(copy.lab, '-c', '1', '-n', '20000')
    await copy.untilSame()
  }
)

copied(
  'a target that stalls for a second receives everything afterwards',
  { tcpcopy: RING, books: NOTHING_MISSED },
  async (copy) => {
    const loading = load(copy.lab, '-c', '50', '-n', '50000')
    await sleep(200)
    await pause(copy.target.program, 1000)
    await loading
    await copy.untilSame()
  }
)

copied(
  'a target that is killed and restarted receives what was not delivered, on new connections',
  { tcpcopy: RING },
  async (copy) => {
    const { lab, hosts, target, tcpcopy } = copy
    const steady = await startSteadyLoad(hosts.client, 50)
    await copy.untilTargetHas(1000)
    await target.program.stop('SIGKILL')
    await sleep(500)
    const again = await startRedis(hosts.target, PORT, lab.subfolder('again'))
    await untilCounter(tcpcopy, 'sessionsContinued', (count) => count > 0)
    await stopCleanly(steady)
    await lab.ask('SET', 'last', 'word')
    await until('the last word is there', async () => (await lab.askTarget('GET', 'last')) === 'word')
    assert.ok((await again.requestCount()) > 0)
  }
)

copied('intercept stopped for a second costs no short connection', { tcpcopy: RING }, async (copy) => {
  const loading = load(copy.lab, '-k', '0', '-c', '20', '-n', '5000')
  await sleep(200)
  await pause(copy.intercept, 1000)
  await loading
  await copy.untilSame()
})

copied(
  'packets that the kernel refuses to send for a while are sent later',
  // Firewall rules do not see what is sent through the link layer.
  { tcpcopy: [...RING, '--send', 'ip'], books: NOTHING_MISSED },
  async (copy) => {
    const loading = load(copy.lab, '-c', '20', '-n', '50000')
    await copy.untilTargetHas(1000)
    const { source } = copy.hosts
    await addRules(source, 'ip', 'refuse', 'output', `ip saddr ${CLIENT} tcp dport ${PORT} drop`)
    await untilCounter(copy.tcpcopy, 'sendRefused', (count) => count > 0)
    await source.mustRun('nft', ['delete', 'table', 'ip', 'refuse'])
    await loading
    await copy.untilSame()
  }
)
