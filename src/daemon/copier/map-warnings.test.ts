import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MapCount, MapCounts } from '../../core/books/map-counts.ts'
import { parseAddress } from '../../wire/address.ts'
import { Notices } from '../notices/notices.ts'
import { CONNECTIONS_OF_NO_USE, MapWarnings, TLS_LEFT_OUT, UNANSWERED } from './map-warnings.ts'

class Rig {
  readonly counts = new MapCounts(2)
  readonly #notices = new Notices()
  readonly #warnings: MapWarnings
  now = 1000

  constructor() {
    const map = (sourcePort: number) => ({
      sourceAddress: 0,
      sourcePort,
      targetAddress: parseAddress('10.0.0.3') ?? 0,
      targetPort: 8080
    })
    this.#warnings = new MapWarnings([map(80), map(81)], this.counts, this.#notices)
  }

  /** Lets time pass second by second. @returns what was logged */
  pass(seconds: number): unknown[] {
    const said: unknown[] = []
    for (let second = 0; second < seconds; second++) {
      this.now += 1000
      this.#warnings.onTimer(this.now)
      this.#notices.drain((level, message, fields) => said.push([level, message, fields]))
    }
    return said
  }
}

const PLACES = { source: '*:81', target: '10.0.0.3:8080' }

test('pauses are warned of once for each -x, and again after 20 minutes without any', () => {
  const rig = new Rig()
  assert.deepEqual(rig.pass(5), [])
  rig.counts.add(1, MapCount.Pauses)
  rig.counts.add(1, MapCount.Pauses)
  const warning = ['warn', CONNECTIONS_OF_NO_USE, { ...PLACES, count: 2 }]
  assert.deepEqual(rig.pass(1), [warning])
  for (let minute = 0; minute < 30; minute++) {
    rig.counts.add(1, MapCount.Pauses)
    assert.deepEqual(rig.pass(60), [])
  }
  rig.counts.add(0, MapCount.Pauses)
  assert.deepEqual(rig.pass(1), [['warn', CONNECTIONS_OF_NO_USE, { ...PLACES, source: '*:80', count: 1 }]])
  assert.deepEqual(rig.pass(1200), [])
  rig.counts.add(1, MapCount.Pauses)
  assert.deepEqual(rig.pass(1), [['warn', CONNECTIONS_OF_NO_USE, { ...PLACES, count: 1 }]])
})

test('TLS is warned of once', () => {
  const rig = new Rig()
  rig.counts.add(1, MapCount.TlsLeftOut)
  assert.deepEqual(rig.pass(1), [['warn', TLS_LEFT_OUT, { ...PLACES, count: 1 }]])
  assert.deepEqual(rig.pass(4000), [])
  rig.counts.add(1, MapCount.TlsLeftOut)
  assert.deepEqual(rig.pass(60), [])
})

test('unanswered requests are warned of with their share, and it is said when it is over', () => {
  const rig = new Rig()
  for (let request = 0; request < 50; request++) rig.counts.add(1, MapCount.Requests)
  rig.pass(5)
  for (let second = 0; second < 10; second++) {
    rig.counts.add(1, MapCount.Requests)
    rig.counts.add(1, MapCount.Requests)
    rig.counts.add(1, MapCount.Unanswered)
    assert.deepEqual(rig.pass(1), [])
  }
  rig.counts.add(1, MapCount.Unanswered)
  assert.deepEqual(rig.pass(1), [['warn', UNANSWERED, { ...PLACES, count: 11, requests: 20 }]])
  assert.deepEqual(rig.pass(59), [])
  const [over] = rig.pass(1)
  assert.deepEqual(over, ['info', 'the target answers within --epoch-timeout again', PLACES])
  rig.counts.add(1, MapCount.Unanswered)
  assert.deepEqual(rig.pass(10), [])
  assert.deepEqual(rig.pass(1), [['warn', UNANSWERED, { ...PLACES, count: 1, requests: 0 }]])
})
