/** Packets forged by a stranger who knows the addresses and ports of live connections, but not their numbers. */
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { findMissingEnds } from '../../../lab/loads/server.ts'
import { some } from '../support/books.ts'
import { copied } from '../support/copied.ts'
import { stopCleanly, untilRequests } from '../support/waiting.ts'

const busyClient = fileURLToPath(new URL('../../../lab/loads/busy-client.js', import.meta.url))
const forgedSegments = fileURLToPath(new URL('../support/programs/forged-segments.js', import.meta.url))
const CONNECTIONS = 4
/** Of each kind, for each connection. */
const FORGED = 10_000

copied(
  'forged data, FINs and resets with random numbers neither reach the target nor end a copy',
  {
    tcpcopy: ['-B', '128'],
    books: {
      captureDropped: 0,
      'dropped.implausible': some,
      droppedBytes: (count, books) => count === books['dropped.implausible.bytes'],
      sessionsContinued: 0
    }
  },
  async ({ hosts, source, target }) => {
    const load = hosts.client.spawn(process.execPath, [busyClient, SOURCE, `${PORT}`, `${CONNECTIONS}`, '10000000'])
    await untilRequests(source, 1000)
    const list = await hosts.client.mustRun('ss', ['-Htn', 'state', 'established', `dport = :${PORT}`])
    const ports = [...list.matchAll(/:(\d+)\s+\S+:6379/g)].map(([, port]) => port ?? '')
    assert.equal(ports.length, CONNECTIONS)
    await hosts.client.mustRun(process.execPath, [forgedSegments, `${FORGED}`, '1', ...ports], { timeoutMs: 60_000 })
    await untilRequests(source, (await source.requestCount()) + 1000)
    await stopCleanly(load)
    await untilRequests(target, await source.requestCount())
    assert.deepEqual(await findMissingEnds(source, target, CONNECTIONS), [])
  }
)
