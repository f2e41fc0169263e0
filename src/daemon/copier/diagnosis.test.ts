import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Counter, Counters } from '../../core/books/counters.ts'
import { MapCounts } from '../../core/books/map-counts.ts'
import { Reach } from '../../core/target/raw/reach.ts'
import type { InterceptView, NoAnswers } from '../../doctor/evidence.ts'
import {
  ACCEPTS_AGAIN,
  ALL_ANSWERED,
  ALL_REFUSED,
  CONNECTIONS_LOST,
  NO_ANSWERS,
  SOME_UNANSWERED
} from '../../doctor/symptoms.ts'
import type { LogFields, PacketSender } from '../../ports.ts'
import { parseAddress } from '../../wire/address.ts'
import { Notices } from '../notices/notices.ts'
import { Diagnosis } from './diagnosis.ts'

const TARGET = parseAddress('10.0.0.3') ?? 0
const MAP = { sourceAddress: 0, sourcePort: 80, targetAddress: TARGET, targetPort: 8080 }
const VIEW: InterceptView = {
  routes: 1,
  capturesAny: false,
  hasRouted: false,
  hasUnrouted: false,
  hasResets: false,
  synAckTtl: 0,
  resetTtl: 0,
  forwards: true
}

type Said = readonly [second: number, message: string, fields: LogFields]

class Rig {
  readonly own = {
    has: (address: number) => address === parseAddress('10.0.0.1'),
    hasAt: () => false,
    refresh: () => {}
  }
  readonly reach = new Reach(1, this.own)
  readonly counters = new Counters()
  readonly refused = new Map<number, number>()
  view: InterceptView | undefined
  asked = 0
  readonly #notices = new Notices()
  readonly #diagnosis: Diagnosis
  #second = 0

  constructor() {
    // as: the diagnosis uses these two alone
    const sender = { refused: this.refused, pathTo: () => ({ state: 'known', hop: '' }) } as unknown as PacketSender
    this.counters.set(Counter.channelsOpen, 2)
    this.#diagnosis = new Diagnosis(
      {
        maps: [MAP],
        intercepts: [parseAddress('10.0.0.4') ?? 0],
        reach: this.reach,
        mapCounts: new MapCounts(1),
        counters: this.counters,
        sender,
        assistants: {
          ask: () => {
            this.asked += 1
          },
          viewOf: () => this.view
        },
        truncatedLength: () => 0
      },
      this.#notices,
      0
    )
  }

  pass(seconds: number): readonly Said[] {
    const said: Said[] = []
    for (let count = 0; count < seconds; count++) {
      this.#second += 1
      this.#diagnosis.onTimer(this.#second * 1000)
      this.#notices.drain((_, message, fields = {}) => said.push([this.#second, message, fields]), this.#second * 1000)
    }
    return said
  }

  /** Opens connections that get no answer. */
  open(client: string, count = 1): void {
    const address = parseAddress(client) ?? 0
    for (let index = 0; index < count; index++) {
      this.reach.opened(0, address)
      this.reach.overdue(0, address)
    }
  }

  accept(client: string, count = 1): void {
    const address = parseAddress(client) ?? 0
    for (let index = 0; index < count; index++) {
      this.reach.opened(0, address)
      this.reach.accepted(0, address)
    }
  }
}

function briefly(said: readonly Said[]): readonly string[] {
  return said.map(([second, message]) => `${second} ${message}`)
}

test('a target that accepts nothing is warned of at the second check, when intercept has answered', () => {
  const rig = new Rig()
  assert.deepEqual(rig.pass(4), [])
  rig.open('10.0.0.9', 3)
  rig.open('127.0.0.1')
  rig.open('10.0.0.1')
  assert.deepEqual(rig.pass(1), [])
  assert.equal(rig.asked, 1)
  rig.view = VIEW
  rig.refused.set(1, 7)
  const [[second, message, fields] = []] = rig.pass(5)
  assert.deepEqual([second, message], [10, NO_ANSWERS])
  assert.deepEqual(fields, {
    source: '*:80',
    target: '10.0.0.3:8080',
    connections: 5,
    refused: 0,
    loopback: 1,
    ownAddress: 1,
    client: '10.0.0.1',
    answeredOthers: 0,
    sendRefused: { 1: 7 },
    path: { state: 'known', hop: '' },
    truncated: 0,
    truncatedLength: 0,
    channelsOpen: 2,
    isOnTarget: false,
    intercept: VIEW
  } satisfies NoAnswers)
  assert.deepEqual(briefly(rig.pass(60)), [`70 ${NO_ANSWERS}`])
  rig.accept('10.0.0.9')
  assert.deepEqual(briefly(rig.pass(5)), [`75 ${ACCEPTS_AGAIN}`])
  assert.deepEqual(rig.pass(100), [])
})

test('resets count for connections, however often their SYNs are refused', () => {
  const rig = new Rig()
  rig.open('10.0.0.9', 20)
  for (let count = 0; count < 20; count++) rig.reach.refused(0)
  rig.counters.set(Counter.refusals, 58)
  const [[, message, fields] = []] = rig.pass(10)
  assert.equal(message, ALL_REFUSED)
  assert.deepEqual([fields?.connections, fields?.refused], [20, 20])
})

test('connections that end before their answer could have come are no sign', () => {
  const rig = new Rig()
  for (let second = 0; second < 60; second++) {
    rig.reach.opened(0, parseAddress('10.0.0.9') ?? 0)
    assert.deepEqual(rig.pass(1), [])
  }
})

test('clients that never get an answer, while others do, are reported by network', () => {
  const rig = new Rig()
  const connect = (): readonly Said[] => {
    rig.accept('10.0.0.10', 15)
    for (const client of ['10.0.0.11', '10.0.0.12', '10.0.0.13']) rig.open(client, 15)
    return rig.pass(5)
  }
  const [[second, message, fields] = []] = connect()
  assert.deepEqual([second, message], [5, SOME_UNANSWERED])
  assert.deepEqual(fields, {
    source: '*:80',
    target: '10.0.0.3:8080',
    connections: 60,
    unanswered: 45,
    networks: ['10.0.0.12/31 (30)', '10.0.0.11 (15)']
  })
  const later = Array.from({ length: 12 }, connect).flat()
  assert.deepEqual(briefly(later), [`65 ${SOME_UNANSWERED}`])
  assert.equal(later[0]?.[2].unanswered, 45 * 12)
  rig.accept('10.0.0.12', 3)
  assert.deepEqual(briefly(rig.pass(60)), [`125 ${ALL_ANSWERED}`])
})

test('a connection now and then without an answer is no sign that its client gets none', () => {
  const rig = new Rig()
  for (let check = 0; check < 10; check++) {
    rig.accept('10.0.0.10', 15)
    rig.accept('10.0.0.11', 3)
    rig.open('10.0.0.11', 3)
    assert.deepEqual(rig.pass(5), [])
  }
})

test('connections that vanish at once are counted since they began to', () => {
  const rig = new Rig()
  rig.counters.set(Counter.synAcks, 1000)
  assert.deepEqual(rig.pass(5), [])
  rig.counters.set(Counter.synAcks, 1030)
  rig.counters.set(Counter.sessionsDisowned, 29)
  assert.deepEqual(rig.pass(5), [])
  rig.counters.set(Counter.synAcks, 1040)
  rig.counters.set(Counter.sessionsDisowned, 38)
  rig.view = VIEW
  const [[, message, fields] = []] = rig.pass(5)
  assert.equal(message, CONNECTIONS_LOST)
  assert.deepEqual(fields, { synAcks: 40, disowned: 38, intercept: VIEW })
})
