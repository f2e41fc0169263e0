import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Flow } from '../../wire/flow.ts'
import { SingleGroup } from './single-group.ts'

function flowOf(client: number, port: number): Flow {
  return new Flow().set(client, port, 0x0a4d0002, 80)
}

/** Which peers get the answers of many clients. */
function sharers(group: SingleGroup): number[] {
  const peers = new Set<number>()
  for (let port = 0; port < 256; port++) peers.add(group.peerOf(group.find(flowOf(0x0a4d0052, port))))
  return [...peers].sort((one, other) => one - other)
}

test('connections opened within 3 s of the first share the answers, and each client stays with one of them', () => {
  const group = new SingleGroup(false)
  assert.equal(group.find(flowOf(1, 2)), -1)
  for (const [peer, now] of [
    [1, 5000],
    [2, 6000],
    [3, 8000]
  ] as const) {
    assert.deepEqual(group.admit(peer, now), [])
  }
  assert.deepEqual(sharers(group), [1, 2, 3])
  // The last byte of the sum, modulo the connections: 0x0a4d0052 + 52788 ends in 0x86, and 134 % 3 is 2.
  assert.equal(group.find(flowOf(0x0a4d0052, 52788)), 2)
})

test('a connection opened later replaces all earlier ones', () => {
  const group = new SingleGroup(false)
  group.admit(1, 5000)
  group.admit(2, 5000)
  assert.deepEqual(group.admit(3, 8001), [1, 2])
  group.left(1)
  group.left(2)
  assert.deepEqual(group.admit(4, 9000), [])
  assert.deepEqual(sharers(group), [3, 4])
})

test('if the first connection is kept, later ones are refused until it closes', () => {
  const group = new SingleGroup(true)
  group.admit(1, 5000)
  group.admit(2, 5000)
  assert.deepEqual(group.admit(3, 8001), [3])
  group.left(1)
  assert.deepEqual(group.admit(4, 9000), [4])
  assert.deepEqual(sharers(group), [2])
  group.left(2)
  assert.deepEqual(sharers(group), [-1])
  assert.deepEqual(group.admit(5, 9000), [])
  assert.deepEqual(group.admit(6, 12_000), [])
  assert.deepEqual(sharers(group), [5, 6])
})
