/** Uploads over HTTP: bodies of 10 MB, each of another pattern, must be the same at source and target. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startUploadServer } from '../../lab/loads/server.ts'
import { ASSISTANT, finishAndReadBooks, MAP, openCopyLab, PORT, SOURCE, until } from './support/copy-lab.ts'

const uploadClient = fileURLToPath(new URL('../../lab/loads/upload-client.js', import.meta.url))
const CONNECTIONS = 2
const BODY_LENGTH = 10_000_000

for (const offloads of [false, true]) {
  test(`uploads of 10 MB arrive byte for byte, offloads ${offloads ? 'on' : 'off'}`, async () => {
    await using lab = await openCopyLab({ offloads })
    const source = await startUploadServer(lab.hosts.source, lab.folder)
    const target = await startUploadServer(lab.hosts.target, lab.folder)
    await lab.startIntercept()
    // The ring holds all bodies, should tcpcopy get no core meanwhile.
    const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, '-B', '64'])
    const load = [SOURCE, `${PORT}`, `${CONNECTIONS}`, '1', `${BODY_LENGTH}`]
    await lab.hosts.client.mustRun(process.execPath, [uploadClient, ...load])
    await until('the target has all bodies', async () => (await target.requestCount()) === CONNECTIONS)
    assert.match(source.program.stdout, new RegExp(`^/0/0 ${BODY_LENGTH} [0-9a-f]{64}$`, 'm'))
    assert.equal(await target.digest(), await source.digest())
    const books = await finishAndReadBooks(tcpcopy)
    assert.deepEqual([books.droppedBytes, books.captureDropped], [0, 0])
    assert.ok((books.deliveredBytes ?? 0) > CONNECTIONS * BODY_LENGTH)
  })
}
