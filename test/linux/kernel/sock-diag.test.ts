/** What the kernel says of its connections. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { test } from 'node:test'
import { SourceState } from '../../../src/core/selection/source-sockets.ts'
import { SockDiag } from '../../../src/io/linux/netlink/sock-diag.ts'
import { parseAddress } from '../../../src/wire/address.ts'
import { Flow } from '../../../src/wire/flow.ts'
import { inNamespace } from '../support/namespace.ts'

/** The kernel is asked about all addresses. */
const ANY = { has: () => true }

inNamespace(import.meta.url, () => {
  test('the kernel knows its connections, what they received, and which there are not', async () => {
    const server = createServer()
    server.listen(0, '::')
    await once(server, 'listening')
    const address = server.address()
    assert(typeof address === 'object' && address !== null)
    const { port } = address
    const client = connect(port, '127.0.0.1')
    const [accepted]: Socket[] = await once(server, 'connection')
    client.write('hello')
    await once(accepted?.resume() ?? client, 'data')
    const diag = new SockDiag(ANY)
    const local = parseAddress('127.0.0.1') ?? 0
    const flow = new Flow().set(local, client.localPort ?? 0, local, port)
    assert.equal(diag.stateOf(flow), SourceState.Connected)
    assert.equal(diag.receivedBytes, 5)
    assert.equal(diag.stateOf(flow.set(local, 1, local, port)), SourceState.None, 'only the listener is there')
    assert.equal(diag.stateOf(flow.set(local, 1, local, 1)), SourceState.Unknown, 'nothing is there')
    const foreign = new SockDiag({ has: () => false })
    assert.equal(foreign.stateOf(flow.set(local, client.localPort ?? 0, local, port)), SourceState.Unknown)
    foreign.close()
    client.destroy()
    accepted?.destroy()
    server.close()
    diag.close()
  })
})
