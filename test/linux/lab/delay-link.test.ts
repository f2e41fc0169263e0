/** The lab's link with delay, on which all delay tests rely. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DelayLink } from '../../../lab/hosts/delay-link.ts'
import { openLab } from '../../../lab/hosts/lab.ts'

const DELAY_MS = 30
const COUNT = 2000
/** Datagrams that fit into a receive buffer of the default size (net.core.rmem_max). */
const IN_FLIGHT = 100

const echo = `
const socket = require('dgram').createSocket({ type: 'udp4', recvBufferSize: 4 << 20 })
socket.on('message', (message, from) => socket.send(message, from.port, from.address))
socket.bind(7, () => console.log('ready'))`

/** Prints how many numbered datagrams came back, how many of them out of order, and the shortest round trip. */
const probe = `
const socket = require('dgram').createSocket({ type: 'udp4', recvBufferSize: 4 << 20 })
const times = []
let [back, disorder, least] = [0, 0, Infinity]
socket.on('message', (message) => {
  const number = message.readUInt32LE(0)
  if (number !== back++) disorder++
  least = Math.min(least, performance.now() - times[number])
  if (back === ${COUNT}) done()
})
const done = () => { console.log(JSON.stringify({ back, disorder, least })); process.exit() }
setTimeout(done, 10_000)
const burst = () => {
  const end = Math.min(times.length + 20, back + ${IN_FLIGHT}, ${COUNT})
  while (times.length < end) {
    const message = Buffer.alloc(1000)
    message.writeUInt32LE(times.length)
    times.push(performance.now())
    socket.send(message, 7, '10.78.0.1')
  }
  if (times.length < ${COUNT}) setTimeout(burst, 1)
}
burst()`

test('a link with delay delivers every packet, in order and not too early', async () => {
  await using lab = await openLab({ hosts: { near: { addresses: ['10.77.0.1'] }, far: { addresses: ['10.77.0.2'] } } })
  const { near, far } = lab.hosts
  const ends = [
    { host: far, address: '10.78.0.2/24' },
    { host: near, address: '10.78.0.1/24' }
  ] as const
  await using link = await DelayLink.open(ends, DELAY_MS)
  const server = near.spawn(process.execPath, ['-e', echo])
  await server.waitForLine('stdout', (line) => line === 'ready')
  const { back, disorder, least } = JSON.parse(await far.mustRun(process.execPath, ['-e', probe]))
  assert.deepEqual([back, disorder], [COUNT, 0])
  assert.ok(least >= 2 * DELAY_MS, `a round trip of ${least} ms`)
  const { directions } = await link.close()
  assert.deepEqual(
    directions.map(({ carried, dropped }) => [carried, dropped]),
    [
      [COUNT, 0],
      [COUNT, 0]
    ]
  )
})
