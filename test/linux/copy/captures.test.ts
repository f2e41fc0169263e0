/** The same copy, whichever way live packets are captured. */
import assert from 'node:assert/strict'
import { CLIENT, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import { hasMessage } from '../../../lab/hosts/json-log.ts'
import { loadOfAllSizes } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'
import { dumpStreams } from '../support/streams.ts'

for (const [tcpcopy, through, offloads] of [
  [['--capture', 'ip'], 'raw socket', false],
  [['--capture', 'ip', '-F', `src host ${CLIENT}`], 'raw socket', true],
  [['-F', `src host ${CLIENT} and tcp`], 'ring', true],
  [['-i', 'eth0'], 'ring', true]
] as const) {
  copied(
    `the target reads the clients' bytes with ${tcpcopy.join(' ')}, offloads ${offloads ? 'on' : 'off'}`,
    { offloads, tcpcopy, books: { captureDropped: 0, captureLeftOut: 0 } },
    async (copy) => {
      const { client, source, target } = copy.hosts
      const log = copy.tcpcopy.stderr.split('\n')
      assert.ok(log.some((line) => hasMessage(line, 'capturing') && line.includes(through)))
      const dumps = await dumpStreams(
        copy.lab.folder,
        { host: source, address: SOURCE },
        { host: target, address: TARGET }
      )
      await loadOfAllSizes(client)
      await copy.untilSame()
      await dumps.assertSame(200)
    }
  )
}
