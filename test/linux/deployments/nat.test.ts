/** A target in a network namespace of its own behind address translation, like a container. */
import { test } from 'node:test'
import {
  CLIENT,
  INTERCEPT,
  MAP,
  PORT,
  SOURCE,
  startConnected,
  startReady,
  TARGET,
  TCPCOPY
} from '../../../lab/hosts/copy-lab.ts'
import { openLab } from '../../../lab/hosts/lab.ts'
import { startRedis } from '../../../lab/job/redis.ts'
import { finishCopy } from '../support/books.ts'
import { benchmark, SETS, SHORT } from '../support/client-loads.ts'
import { dumpStreams } from '../support/streams.ts'
import { untilSame } from '../support/waiting.ts'

const CONTAINER_PORT = 6380
const CONTAINER = '172.18.0.2'

test('a target behind DNAT: intercept on its host takes the answers before they are translated back', async () => {
  await using lab = await openLab({
    hosts: {
      client: { addresses: [CLIENT] },
      source: { addresses: [SOURCE] },
      target: {
        addresses: [TARGET, '172.18.0.1'],
        sysctls: { 'net.ipv4.ip_forward': '1', 'net.ipv4.conf.all.send_redirects': '0' }
      },
      container: { addresses: [CONTAINER] }
    },
    routes: [{ on: 'container', to: 'default', via: '172.18.0.1' }]
  })
  const { client, source, target, container } = lab.hosts
  await target.mustRun('nft', ['add table ip containers'])
  await target.mustRun('nft', ['add chain ip containers in { type nat hook prerouting priority -100; }'])
  const dnat = `ip daddr ${TARGET} tcp dport ${PORT} dnat to ${CONTAINER}:${CONTAINER_PORT}`
  await target.mustRun('nft', [`add rule ip containers in ${dnat}`])
  const original = await startRedis(source, PORT, lab.folder)
  const copy = await startRedis(container, CONTAINER_PORT, lab.folder)
  const dumps = await dumpStreams(
    lab.folder,
    { host: source, address: SOURCE },
    { host: container, port: CONTAINER_PORT }
  )
  const answers = `tcp and src host ${CONTAINER} and src port ${CONTAINER_PORT}`
  const translation = `${CONTAINER}:${CONTAINER_PORT}-${TARGET}:${PORT}`
  await startReady(target, INTERCEPT, ['-i', 'eth0', '-F', answers, '--manage-rules', '-D', translation])
  const tcpcopy = await startConnected(source, TCPCOPY, ['-x', MAP, '-s', TARGET])
  await benchmark(client, SOURCE, ...SETS, '-d', '3000', '-c', '20', '-n', '3000')
  await benchmark(client, SOURCE, '-t', 'hset', '-r', '2000000000', ...SHORT, '-c', '5', '-n', '300')
  await untilSame(original, copy)
  await finishCopy(tcpcopy, { sessionsDisowned: 0 })
  await dumps.assertSame(300)
})
