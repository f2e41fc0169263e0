import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { PORTS_EACH, PortsPool } from './ports-pool.ts'

const ADDRESS = 0x0a000001
const target = { targetAddress: 0x0a000003, targetPort: 80 }

test('no combination of address, port and target is given out twice', () => {
  const step = fc.record({
    isCopy: fc.boolean(),
    copy: fc.integer({ min: 1, max: 1022 }),
    // Few ports, so that they collide.
    port: fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 40_000, max: 40_010 })),
    address: fc.integer({ min: 1, max: 2 }),
    targetPort: fc.integer({ min: 80, max: 81 }),
    ends: fc.nat(20)
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const pool = new PortsPool()
      const live = new Map<string, Parameters<PortsPool['release']>[0]>()
      for (const [slot, { isCopy, copy, port, address, targetPort, ends }] of steps.entries()) {
        const to = { targetAddress: 7, targetPort }
        const clientPort = isCopy ? pool.forCopy(address, port, copy, to) : pool.forClient(address, port, to)
        assert.ok(clientPort > 0 && clientPort <= 65_535)
        if (isCopy) assert.notEqual(clientPort, port)
        const key = `${address}:${clientPort} ${targetPort}`
        assert.ok(!live.has(key), `${key} was given twice`)
        const flow = { clientAddress: address, clientPort, ...to }
        pool.take(flow, slot)
        live.set(key, flow)
        assert.equal(pool.holderOf(flow), slot)
        const [oldest] = live
        if (ends === 0 && oldest !== undefined) {
          pool.release(oldest[1])
          live.delete(oldest[0])
        }
      }
    })
  )
})

test('a pool gives out every port of an address, then reports that none is left', () => {
  const pool = new PortsPool()
  const given = new Set<number>()
  // The clients' own ports are outside the pool, so that it is emptied.
  for (let port = 1; ; port = (port % 1000) + 1) {
    const clientPort = pool.forCopy(ADDRESS, port, given.size, target)
    if (clientPort === 0) break
    given.add(clientPort)
    pool.take({ clientAddress: ADDRESS, clientPort, ...target }, given.size)
  }
  assert.equal(given.size, PORTS_EACH)
  assert.equal(pool.forClient(ADDRESS, 40_001, target), 0)
  assert.equal(pool.forClient(ADDRESS + 1, 40_001, target), 40_001, 'another address has ports of its own')
  pool.release({ clientAddress: ADDRESS, clientPort: 5000, ...target })
  assert.equal(pool.forClient(ADDRESS, 40_001, target), 5000)
  assert.equal(pool.forCopy(ADDRESS, 40_001, 3, target), 5000)
})

test('copies avoid the ports that Linux gives to clients while others are free', () => {
  const pool = new PortsPool()
  for (let port = 32_768; port < 61_000; port++) {
    const clientPort = pool.forCopy(ADDRESS, port, 1, target)
    assert.ok(clientPort < 32_768)
    pool.take({ clientAddress: ADDRESS, clientPort, ...target }, port)
  }
})

test('copies of the same clients do not collide if their values of -f are far apart', () => {
  const [one, other] = [new PortsPool(1), new PortsPool(513)]
  const given = new Set<number>()
  for (let port = 40_000; port < 50_000; port++) {
    for (const pool of [one, other]) {
      const clientPort = pool.forCopy(ADDRESS, port, 1, target)
      pool.take({ clientAddress: ADDRESS, clientPort, ...target }, port)
      given.add(clientPort)
    }
  }
  assert.equal(given.size, 20_000)
})
