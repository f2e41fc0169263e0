import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Stream } from '../../../ports.ts'
import { Poller } from '../system/poller.ts'
import { LinuxNetwork, TcpListener } from './streams.ts'

const LOOPBACK = 0x7f000001

interface Pair {
  readonly poller: Poller
  readonly client: Stream
  readonly server: Stream
}

/** Waits up to five seconds until `condition` holds. */
function until(poller: Poller, condition: () => boolean): void {
  for (const end = performance.now() + 5000; !condition(); ) {
    assert.ok(performance.now() < end, 'it takes too long')
    poller.wait(100)
  }
}

function withPair(inputLength: number, step: (pair: Pair) => void): void {
  const poller = new Poller()
  const listener = new TcpListener(poller, { address: LOOPBACK, port: 0, inputLength })
  const client = new LinuxNetwork(poller, inputLength).connect(LOOPBACK, listener.port)
  assert.equal(client.peer, `127.0.0.1:${listener.port}`)
  let server: Stream | undefined
  until(poller, () => {
    server ??= listener.accept()
    return client.read() === 0 && client.open && server !== undefined
  })
  assert.ok(server)
  try {
    step({ poller, client, server })
  } finally {
    for (const part of [client, server, listener, poller]) part.close()
  }
}

test('octets written on one side are read on the other', () => {
  withPair(4096, ({ poller, client, server }) => {
    const bytes = Uint8Array.from({ length: 100 }, (_, index) => index)
    assert.equal(client.write(bytes, 10, 50), 50)
    until(poller, () => server.read() > 0)
    assert.equal(server.inputLength, 50)
    assert.deepEqual([...server.input.subarray(0, 50)], [...bytes.subarray(10, 60)])
    assert.equal(server.read(), 0)
    assert.equal(server.write(bytes, 0, 1), 1)
    until(poller, () => client.read() === 1)
    assert.match(server.peer, /^127\.0\.0\.1:\d+$/)
  })
})

test('a stream is read only when the last wait told that something came', () => {
  withPair(4096, ({ poller, client, server }) => {
    poller.wait(0)
    assert.equal(client.write(new Uint8Array(7), 0, 7), 7)
    assert.equal(server.read(), 0)
    until(poller, () => server.read() === 7)
  })
})

test('a peer that does not read takes no more, and wakes the writer when it does', () => {
  withPair(1 << 16, ({ poller, client, server }) => {
    const bytes = Uint8Array.from({ length: 1_000_000 }, (_, index) => index % 251)
    let written = 0
    for (let taken = -1; taken !== 0; written += taken) {
      taken = client.write(bytes, written % 251, bytes.length - 251)
      assert.ok(taken >= 0)
    }
    client.awaitWritable(true)
    poller.wait(20)
    let seen = 0
    until(poller, () => {
      const length = server.read()
      for (let index = 0; index < length; index++, seen++)
        if (server.input[index] !== seen % 251) assert.fail(`octet ${seen} is wrong`)
      server.inputLength = 0
      return seen === written
    })
    poller.wait(1000)
    assert.ok(client.write(bytes, 0, 1) === 1)
  })
})

test('a full input is no end', () => {
  withPair(8, ({ poller, client, server }) => {
    client.write(new Uint8Array(20), 0, 20)
    until(poller, () => server.read() === 8)
    assert.equal(server.read(), 0)
    server.inputLength = 0
    assert.equal(server.read(), 8)
  })
})

test('the peer closing is the end, without a failure; a read takes first what was sent', () => {
  withPair(64, ({ poller, client, server }) => {
    server.write(new Uint8Array(3), 0, 3)
    server.close()
    server.close()
    until(poller, () => client.read() === 3)
    until(poller, () => client.read() === -1)
    assert.equal(client.failure, '')
    assert.equal(client.open, false)
    assert.equal(client.write(new Uint8Array(1), 0, 1), -1)
    assert.equal(server.read(), -1)
    assert.equal(server.write(new Uint8Array(1), 0, 1), -1)
  })
})

test('a reset is a failure, and an ended stream ends no wait', () => {
  withPair(64, ({ poller, client, server }) => {
    client.write(new Uint8Array(3), 0, 3)
    poller.wait(100)
    server.close() // with unread bytes: a reset
    until(poller, () => client.read() === -1)
    assert.match(client.failure, /ECONNRESET/)
    const before = performance.now()
    poller.wait(30)
    assert.ok(performance.now() - before >= 30)
  })
})

test('a refused connection shows in read', () => {
  const poller = new Poller()
  const listener = new TcpListener(poller, { address: LOOPBACK, port: 0 })
  const { port } = listener
  listener.close()
  const client = new LinuxNetwork(poller).connect(LOOPBACK, port)
  assert.equal(client.write(new Uint8Array(1), 0, 1) <= 0, true)
  until(poller, () => client.read() === -1)
  assert.match(client.failure, /ECONNREFUSED/)
  assert.equal(client.open, false)
  client.close()
  poller.close()
})

test('where nobody can listen is an operator error', () => {
  const poller = new Poller()
  const listener = new TcpListener(poller, { address: 0, port: 0 })
  assert.throws(() => new TcpListener(poller, { address: 0, port: listener.port }), { code: 'port-in-use' })
  assert.throws(() => new TcpListener(poller, { address: 0xcb007109 | 0, port: 0 }), { code: 'no-address' })
  assert.equal(listener.accept(), undefined)
  listener.close()
  poller.close()
})

test('many connections are told apart', () => {
  const poller = new Poller()
  const listener = new TcpListener(poller, { address: LOOPBACK, port: 0, inputLength: 64 })
  const network = new LinuxNetwork(poller, 64)
  const clients = Array.from({ length: 300 }, () => network.connect(LOOPBACK, listener.port))
  const servers: Stream[] = []
  until(poller, () => {
    for (let stream = listener.accept(); stream !== undefined; stream = listener.accept()) servers.push(stream)
    for (const client of clients) client.read()
    return servers.length === 300 && clients.every((client) => client.open)
  })
  for (const stream of [...clients, ...servers, listener]) stream.close()
  poller.close()
})
