import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counters } from '../core/books/counters.ts'
import { requestsByMap } from './requests-by-map.ts'

test('with several -x, each has books of its own in the statistics', () => {
  const { requests } = new Counters()
  const map = { sourceAddress: 0, sourcePort: 80, targetAddress: 0x0a000003, targetPort: 8080 }
  requests.began(1)
  assert.deepEqual(requestsByMap(requests, [map]), {})
  const fields = requestsByMap(requests, [map, { ...map, sourceAddress: 0x0a000002, sourcePort: 81 }])
  assert.equal(fields['map.80-10.0.0.3:8080.requestsCaptured'], 0)
  assert.equal(fields['map.10.0.0.2:81-10.0.0.3:8080.requestsCaptured'], 1)
})
