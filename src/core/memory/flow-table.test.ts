import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Flow } from '../../wire/flow.ts'
import { FlowTable } from './flow-table.ts'

type Key = readonly [number, number, number, number]

const key = new Flow()

/** Few enough that keys repeat, and at the ends of their ranges. */
const address = fc.constantFrom(0, 1, -1, 0x0a000001, -(2 ** 31), 2 ** 31 - 1)
const port = fc.constantFrom(0, 1, 80, 32768, 65535)
const flow: fc.Arbitrary<Key> = fc.tuple(address, port, address, port)
const action = fc.record({ kind: fc.constantFrom('set', 'set', 'delete', 'get'), flow, value: fc.nat(2 ** 31 - 2) })

test('a flow table behaves like a Map', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 300 }), (actions) => {
      const table = new FlowTable(1)
      const model = new Map<string, number>()
      for (const { kind, flow, value } of actions) {
        if (kind === 'set') {
          table.set(key.set(...flow), value)
          model.set(String(flow), value)
        } else if (kind === 'delete') {
          table.delete(key.set(...flow))
          model.delete(String(flow))
        }
        assert.equal(table.get(key.set(...flow)), model.get(String(flow)) ?? -1)
        assert.equal(table.size, model.size)
      }
      for (const { flow } of actions) assert.equal(table.get(key.set(...flow)), model.get(String(flow)) ?? -1)
    }),
    { seed: 1, numRuns: 200 }
  )
})

test('a flow table grows, and is empty after everything is deleted', () => {
  const table = new FlowTable()
  for (let index = 0; index < 20_000; index++) table.set(key.set(index >> 8, index & 255, -index, 80), index)
  for (let index = 0; index < 20_000; index++)
    assert.equal(table.get(key.set(index >> 8, index & 255, -index, 80)), index)
  for (let index = 0; index < 20_000; index++) table.delete(key.set(index >> 8, index & 255, -index, 80))
  assert.equal(table.size, 0)
  assert.equal(table.get(key.set(0, 0, 0, 80)), -1)
})
