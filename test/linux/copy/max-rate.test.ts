/** `--max-rate` on a real kernel. */
import assert from 'node:assert/strict'
import { SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { deviceCounters } from '../../../lab/hosts/device-counters.ts'
import { untilSettled } from '../support/books.ts'
import { benchmark, SETS } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'

const RATE = 2_000_000
const REQUESTS = 400
const REQUEST_LENGTH = 20_000

for (const workers of ['1', '3']) {
  copied(
    `a copy that may send less than its clients arrives later, and complete (--workers ${workers})`,
    { tcpcopy: ['--max-rate', '2M', '--workers', workers] },
    async (copy) => {
      const { client, target } = copy.hosts
      const startMs = performance.now()
      await benchmark(client, SOURCE, ...SETS, '-c', '10', '-n', `${REQUESTS}`, '-d', `${REQUEST_LENGTH}`)
      const early = (await deviceCounters(target)).rx.bytes
      // Twice what is allowed since the start: frames have Ethernet headers, and the bucket was full.
      const most = 2 * RATE * ((performance.now() - startMs) / 1000) + 1_000_000
      assert.ok(early <= most, `${early} bytes arrived too early`)
      await copy.untilSame()
      await untilSettled(copy.tcpcopy)
      const seconds = (performance.now() - startMs) / 1000
      assert.ok(seconds >= (REQUESTS * REQUEST_LENGTH) / RATE - 1, `everything arrived within ${seconds} s`)
    }
  )
}
