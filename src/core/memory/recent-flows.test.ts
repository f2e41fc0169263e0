import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Flow } from '../../wire/flow.ts'
import { RecentFlows } from './recent-flows.ts'

const PLACES = 64

test('a flow has one place until it is freed, swept, or overwritten by newer flows', () => {
  const flows = new RecentFlows(PLACES)
  const flow = new Flow()
  const place = flows.set(flow.set(1, 2, 3, 4), 10)
  assert.equal(flows.set(flow, 11), place)
  assert.deepEqual([flows.find(flow), flows.setAt(place), flows.size], [place, 11, 1])
  flows.sweep(11, PLACES)
  assert.equal(flows.find(flow), place)
  flows.sweep(12, PLACES)
  assert.deepEqual([flows.find(flow), flows.size], [-1, 0])
  flows.set(flow, 20)
  flows.free(place)
  assert.deepEqual([flows.find(flow), flows.size], [-1, 0])
})

test('of many flows the latest are kept', () => {
  const flows = new RecentFlows(PLACES)
  const flow = new Flow()
  for (let port = 0; port < 10 * PLACES; port++) {
    const place = flows.set(flow.set(1, port, 3, 4), port)
    assert.equal(flows.find(flow), place)
    if (port > 0) assert.notEqual(flows.find(flow.set(1, port - 1, 3, 4)), place, 'two flows share a place')
  }
  assert.equal(flows.size, PLACES)
})
