import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Notices } from '../notices/notices.ts'
import { type InterceptReading, InterceptWatch } from './intercept-watch.ts'

const UNANSWERED = 'tcpcopy announces clients, but no answers of the target arrive'
const UNWANTED = 'answers of the target arrive, but no tcpcopy is connected'

class Rig {
  readonly #notices = new Notices()
  readonly #watch = new InterceptWatch({ devices: 'eth0', filter: 'src port 80', port: 36524 }, this.#notices)
  reading = {
    capturedPackets: 0,
    captureDropped: 0,
    routesAnnounced: 0,
    routes: 0,
    peersAccepted: 0,
    peersOpen: 0,
    forwarding: [] as readonly string[]
  } satisfies InterceptReading
  #second = 0

  /** @param each what changes before each check @returns second and message of what was said */
  pass(seconds: number, each: () => void = () => {}): string[] {
    const said: string[] = []
    for (let count = 0; count < seconds; count++) {
      each()
      this.#watch.check(this.reading, this.#second * 1000)
      this.#notices.drain((_, message) => said.push(`${this.#second} ${message}`), this.#second * 1000)
      this.#second += 1
    }
    return said
  }

  connect(): void {
    this.reading.peersAccepted += 2
    this.reading.peersOpen = 2
  }
}

test('clients without any answer are warned of after ten seconds, and the first answer ends it', () => {
  const rig = new Rig()
  rig.connect()
  rig.pass(5)
  rig.reading.routesAnnounced = 1
  assert.deepEqual(rig.pass(30), [`15 ${UNANSWERED}`])
  rig.reading.capturedPackets = 1
  assert.deepEqual(rig.pass(1), ['35 answers of the target arrive'])
  assert.deepEqual(rig.pass(100), [])
})

test('idle clients that a tcpcopy announces again as it connects need no answers', () => {
  const rig = new Rig()
  rig.connect()
  rig.reading.routesAnnounced = 1000
  assert.deepEqual(rig.pass(100), [])
})

test('answers without a tcpcopy are warned of, and its connection ends it', () => {
  const rig = new Rig()
  const answer = (): void => {
    rig.reading.capturedPackets += 7
  }
  assert.deepEqual(rig.pass(10, answer), [])
  assert.deepEqual(rig.pass(20, answer), [`10 ${UNWANTED}`])
  rig.connect()
  assert.deepEqual(rig.pass(1), ['30 a tcpcopy is connected'])
})

test('forwarding that is switched on later is warned of at once, again while it lasts, and its end is said', () => {
  const rig = new Rig()
  rig.pass(3)
  rig.reading.forwarding = ['eth0']
  const message = "this host now forwards packets, so the target's answers reach the real clients"
  assert.deepEqual(rig.pass(61), [`3 ${message}`, `63 ${message}`])
  rig.reading.forwarding = []
  assert.deepEqual(rig.pass(1), ['64 this host forwards no packets any more'])
})

test('an overflow of the ring is warned of', () => {
  const rig = new Rig()
  rig.reading.captureDropped = 5
  assert.deepEqual(rig.pass(1), ['0 answers were lost in capture, so copies stall until the target repeats them'])
  assert.deepEqual(rig.pass(60), ['60 no answers are lost in capture any more'])
})
