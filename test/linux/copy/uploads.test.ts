/** Uploads over HTTP: bodies of 10 MB, each with its own pattern, must be the same at source and target. */
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { PORT, SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { startUploadServer } from '../../../lab/loads/server.ts'
import { copied } from '../support/copied.ts'

const uploadClient = fileURLToPath(new URL('../../../lab/loads/upload-client.js', import.meta.url))
const CONNECTIONS = 2
const BODY_LENGTH = 10_000_000

for (const offloads of [false, true]) {
  copied(
    `uploads of 10 MB arrive byte for byte, offloads ${offloads ? 'on' : 'off'}`,
    {
      offloads,
      server: startUploadServer,
      // The ring holds all bodies, even if tcpcopy gets no CPU time meanwhile.
      tcpcopy: ['-B', '64'],
      books: { captureDropped: 0, deliveredBytes: (count) => count > CONNECTIONS * BODY_LENGTH }
    },
    async (copy) => {
      const { hosts, source, target } = copy
      const load = [SOURCE, `${PORT}`, `${CONNECTIONS}`, '1', `${BODY_LENGTH}`]
      await hosts.client.mustRun(process.execPath, [uploadClient, ...load])
      await copy.untilTargetHas(CONNECTIONS)
      assert.match(source.program.stdout, new RegExp(`^/0/0 ${BODY_LENGTH} [0-9a-f]{64}$`, 'm'))
      assert.equal(await target.digest(), await source.digest())
    }
  )
}
