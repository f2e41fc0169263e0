import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ACK, Segment, SYN } from '../../wire/segment.ts'
import { ServersSeen } from './servers-seen.ts'

function segment(fromAddress: number, fromPort: number, toAddress: number, toPort: number, flags: number): Segment {
  return Object.assign(new Segment(), { fromAddress, fromPort, toAddress, toPort, flags })
}

test('servers are recognized by the handshake or the lower port, and listed busiest first', () => {
  const servers = new ServersSeen()
  servers.add(segment(1, 40_000, 2, 50_000, SYN))
  servers.add(segment(2, 50_000, 1, 40_000, SYN | ACK))
  servers.add(segment(1, 40_000, 2, 50_000, ACK))
  servers.add(segment(3, 33_000, -4, 80, ACK))
  servers.add(segment(-4, 80, 3, 33_000, ACK))
  assert.deepEqual(servers.list(10), [
    { address: 2, port: 50_000, packets: 3, connections: 1 },
    { address: -4, port: 80, packets: 2, connections: 0 }
  ])
  assert.equal(servers.list(1).length, 1)
})
