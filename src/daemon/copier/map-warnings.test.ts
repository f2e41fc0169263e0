import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MapCount, MapCounts } from '../../core/books/map-counts.ts'
import {
  ANSWERED_AGAIN,
  CONNECTIONS_OF_NO_USE,
  PAUSES_OVER,
  TLS_LEFT_OUT,
  TLS_OVER,
  UNANSWERED
} from '../../doctor/symptoms.ts'
import { parseAddress } from '../../wire/address.ts'
import { Notices } from '../notices/notices.ts'
import { MapWarnings } from './map-warnings.ts'

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
      this.#notices.drain((level, message, fields) => said.push([level, message, fields]), this.now)
    }
    return said
  }
}

const PLACES = { source: '*:81', target: '10.0.0.3:8080' }

test('pauses are warned of for each -x, again while they last, and their end is said after 20 minutes without any', () => {
  const rig = new Rig()
  assert.deepEqual(rig.pass(5), [])
  rig.counts.add(1, MapCount.Pauses)
  rig.counts.add(1, MapCount.Pauses)
  const warning = ['warn', CONNECTIONS_OF_NO_USE, { ...PLACES, count: 2 }]
  assert.deepEqual(rig.pass(1), [warning])
  const said: unknown[] = []
  for (let minute = 0; minute < 15; minute++) {
    rig.counts.add(1, MapCount.Pauses)
    said.push(...rig.pass(60))
  }
  assert.deepEqual(said, [
    ['warn', CONNECTIONS_OF_NO_USE, { ...PLACES, count: 3, lastsSeconds: 60 }],
    ['warn', CONNECTIONS_OF_NO_USE, { ...PLACES, count: 13, lastsSeconds: 660 }]
  ])
  rig.counts.add(0, MapCount.Pauses)
  assert.deepEqual(rig.pass(1), [['warn', CONNECTIONS_OF_NO_USE, { ...PLACES, source: '*:80', count: 1 }]])
  const ends = rig.pass(1300).map((line) => (line as readonly unknown[])[1]) // as: what `pass` makes
  assert.deepEqual(ends, [CONNECTIONS_OF_NO_USE, PAUSES_OVER, PAUSES_OVER])
})

test('TLS is warned of, and is over when there was none for an hour', () => {
  const rig = new Rig()
  rig.counts.add(1, MapCount.TlsLeftOut)
  assert.deepEqual(rig.pass(1), [['warn', TLS_LEFT_OUT, { ...PLACES, count: 1 }]])
  assert.deepEqual(rig.pass(3599), [])
  assert.deepEqual(rig.pass(1), [['info', TLS_OVER, { ...PLACES, count: 1, lastedSeconds: 3600 }]])
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
  assert.deepEqual(over, ['info', ANSWERED_AGAIN, { ...PLACES, count: 11, requests: 20, lastedSeconds: 70 }])
})
