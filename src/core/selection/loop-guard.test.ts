import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../wire/address.ts'
import { Segment, SYN } from '../../wire/segment.ts'
import { seq } from '../../wire/seq.ts'
import { Drop } from '../books/drop.ts'
import { type HeldCopy, LoopGuard, LoopSign } from './loop-guard.ts'

const ip = (text: string): number => parseAddress(text) ?? assert.fail(text)
const CLIENT = ip('10.0.0.1')
const TARGET = ip('10.0.0.3')
const PROXY = ip('10.0.0.4')
const MAP = { sourceAddress: 0, sourcePort: 80, targetAddress: TARGET, targetPort: 80 }
const PLAIN = { maps: [MAP], ranges: [], copiesMax: 1, own: undefined }
const START = 1_000_000

function segment(fromAddress: number, fields: Partial<Segment> = {}): Segment {
  return Object.assign(new Segment(), { fromAddress, fromPort: 4000, flags: SYN, seq: seq(7) }, fields)
}

function request(fromAddress: number, text: string): Segment {
  const bytes = new TextEncoder().encode(text)
  return segment(fromAddress, { flags: 0, bytes, payloadLength: bytes.length })
}

/** A copy of a client's connection, and whether it was ended. */
class Copy implements HeldCopy {
  readonly identity: { readonly capturedAddress: number }
  deadline = 0
  reason: Drop = Drop.None

  constructor(capturedAddress: number) {
    this.identity = { capturedAddress }
  }

  abort(reason: Drop): void {
    this.reason = reason
  }
}

/** One request that a proxy passes back, 10 ms after each copy of it was sent. @returns the copies that were sent */
function goRound(guard: LoopGuard, from: number, to: number): number {
  const copy = new Copy(PROXY)
  let sent = 0
  for (let now = from; now < to; now += 10) {
    if (guard.holdsBack(copy, now)) continue
    if (copy.reason !== Drop.None) break
    sent += 1
    guard.sawRequest(request(PROXY, 'GET / HTTP/1.1'), now + 5)
  }
  return sent
}

test('a client with the address of a target is not copied, and that is said once', () => {
  const guard = new LoopGuard(PLAIN)
  assert.equal(guard.refusal(segment(TARGET), START), Drop.FromTarget)
  assert.equal(guard.refusal(segment(TARGET), START), Drop.FromTarget)
  assert.equal(guard.refusal(segment(CLIENT), START), undefined)
  assert.deepEqual(guard.takeNotice(), { sign: LoopSign.TargetIsClient, address: TARGET })
  assert.equal(guard.takeNotice(), undefined)
})

test('it is copied with -c for its IP version, and if the target is this host', () => {
  const own = { has: (address: number) => address === TARGET, hasAt: () => false, refresh: () => {} }
  const other = { ...PLAIN, ranges: [{ first: ip('2001:db8::1'), count: 9 }] }
  assert.equal(new LoopGuard(other).refusal(segment(TARGET), START), Drop.FromTarget)
  const renamed = { ...PLAIN, ranges: [{ first: ip('10.9.0.1'), count: 9 }] }
  assert.equal(new LoopGuard(renamed).refusal(segment(TARGET), START), undefined)
  assert.equal(new LoopGuard({ ...PLAIN, own }).refusal(segment(TARGET), START), undefined)
})

test('a SYN with the number and timestamp of a copy sent within 2 s is the copy', () => {
  const guard = new LoopGuard(PLAIN)
  const copy = { iss: seq(7), hasTimestamps: true, tsVal: seq(100), clientAddress: CLIENT, clientPort: 4000 }
  guard.sentSyn(copy, START)
  const returned = { hasTimestamps: true, tsVal: seq(100) }
  assert.equal(guard.refusal(segment(PROXY, returned), START + 2000), Drop.Loop)
  assert.deepEqual(guard.takeNotice(), { sign: LoopSign.CopyCameBack, address: PROXY })
  assert.equal(guard.refusal(segment(PROXY), START + 2000), Drop.Loop)
  assert.equal(guard.refusal(segment(PROXY, { ...returned, seq: seq(8) }), START), undefined)
  assert.equal(guard.refusal(segment(PROXY, { ...returned, tsVal: seq(101) }), START), undefined)
  assert.equal(guard.refusal(segment(CLIENT, { ...returned, fromPort: 4001 }), START), undefined)
  assert.equal(guard.refusal(segment(PROXY, returned), START + 2001), undefined)
})

test('a proxy that passes each request back is held after eight, tried once more, and blocked', () => {
  const guard = new LoopGuard(PLAIN)
  guard.sawRequest(request(CLIENT, 'GET / HTTP/1.1'), START)
  const sent = goRound(guard, START + 1, START + 600_000)
  assert.ok(sent <= 10, `${sent} requests`)
  assert.deepEqual(guard.takeNotice(), { sign: LoopSign.RequestsReturn, address: PROXY })
  assert.equal(guard.refusal(segment(PROXY), START + 5000), Drop.Loop)
  assert.equal(guard.refusal(segment(CLIENT), START + 5000), undefined)
  assert.equal(guard.refusal(segment(PROXY), START + 700_000), undefined)
})

test('connections that are passed back without a request are blocked too', () => {
  const guard = new LoopGuard(PLAIN)
  let sent = 0
  const copy = new Copy(PROXY)
  for (let now = START; now < START + 600_000; now += 10) {
    if (guard.holdsBack(copy, now)) continue
    sent += 1
    if (guard.refusal(segment(PROXY, { seq: seq(now), fromPort: 1024 + (now % 60_000) }), now + 5) === Drop.Loop) break
  }
  assert.ok(sent <= 73, `${sent} connections`)
  assert.deepEqual(guard.takeNotice(), { sign: LoopSign.RequestsReturn, address: PROXY })
})

/** Connections of a pool, opened together. None says anything. */
function openPool(guard: LoopGuard, count: number, now: number): void {
  for (let index = 0; index < count; index++) {
    guard.refusal(segment(CLIENT, { seq: seq(index), fromPort: 1024 + index }), now)
  }
}

test('a pool of connections that are opened before the first request is held only until that', () => {
  const guard = new LoopGuard(PLAIN)
  const copy = new Copy(CLIENT)
  openPool(guard, 100, START)
  assert.equal(guard.holdsBack(copy, START), true)
  guard.sawRequest(request(CLIENT, 'GET / HTTP/1.1'), START + 1)
  assert.equal(guard.holdsBack(copy, START + 1), false)
  openPool(guard, 3, START + 2500)
  assert.equal(guard.holdsBack(copy, START + 2500), false)
})

test('a few more connections of an idle pool are not caused by its copies', () => {
  const guard = new LoopGuard(PLAIN)
  const copy = new Copy(CLIENT)
  openPool(guard, 100, START)
  assert.equal(guard.holdsBack(copy, START + 2001), false)
  openPool(guard, 7, START + 2500)
  assert.equal(guard.holdsBack(copy, START + 2500), false)
  openPool(guard, 1, START + 2501)
  assert.equal(guard.holdsBack(copy, START + 2501), true)
  assert.deepEqual(guard.takeNotice(), { sign: LoopSign.RequestsReturn, address: CLIENT })
})

test('a hundred clients with equal requests behind one address are never held', () => {
  const guard = new LoopGuard(PLAIN)
  for (let index = 0; index < 10_000; index++) {
    guard.refusal(segment(PROXY, { fromPort: 1024 + index, seq: seq(index * 7919) }), START + index)
    guard.sawRequest(request(PROXY, 'GET / HTTP/1.1'), START + index)
    assert.ok(!guard.holdsBack(new Copy(PROXY), START + index))
  }
})

test('a health check every second that others send too is held once at most, and goes on', () => {
  const guard = new LoopGuard(PLAIN)
  let heldMs = 0
  const copy = new Copy(PROXY)
  guard.sawRequest(request(CLIENT, 'GET /health'), START)
  for (let now = START + 1; now < START + 300_000; now += 1) {
    if ((now - START) % 1000 === 500) guard.sawRequest(request(PROXY, 'GET /health'), now)
    if (guard.holdsBack(copy, now)) heldMs += 1
  }
  assert.equal(copy.reason, Drop.None)
  assert.ok(heldMs <= 2001, `${heldMs} ms`)
  assert.equal(guard.takeNotice(), undefined)
})

test('an address that sends more than was copied has requests of its own, even if others sent the same before', () => {
  const guard = new LoopGuard(PLAIN)
  for (let index = 0; index < 20; index++) guard.sawRequest(request(CLIENT, 'GET /'), START + 10 * index)
  for (let index = 0; index < 500; index++) {
    guard.sawRequest(request(PROXY, 'GET /'), START + 300 + 10 * (index >>> 1))
    assert.ok(!guard.holdsBack(new Copy(PROXY), START + 300 + 10 * (index >>> 1)))
  }
})

test('a burst of requests that is over when its address is tried out is only delayed', () => {
  const guard = new LoopGuard(PLAIN)
  const copy = new Copy(PROXY)
  guard.sawRequest(request(CLIENT, 'GET /burst'), START)
  for (let index = 0; index < 20; index++) guard.sawRequest(request(PROXY, 'GET /burst'), START + index)
  assert.ok(guard.holdsBack(copy, START + 100))
  assert.ok(copy.deadline > START + 2000 && copy.deadline < START + 2100)
  assert.ok(!guard.holdsBack(copy, copy.deadline))
  guard.sawRequest(request(PROXY, 'GET /burst'), START + 10_000)
  assert.ok(!guard.holdsBack(copy, START + 10_001))
  assert.equal(guard.takeNotice(), undefined)
})

test('workers that share their memory judge together', () => {
  const words = new Int32Array(LoopGuard.length)
  const guards = [0, 500].map((clockMs) => new LoopGuard({ ...PLAIN, memory: { words, clockMs } }))
  const [one, other] = guards
  assert.ok(one !== undefined && other !== undefined)
  const copy = { iss: seq(7), hasTimestamps: false, tsVal: seq(0), clientAddress: CLIENT, clientPort: 4000 }
  one.sentSyn(copy, START)
  assert.equal(other.refusal(segment(PROXY), START + 1500), Drop.Loop)
  assert.equal(other.refusal(segment(PROXY), START + 1501), undefined)
  other.refusal(segment(TARGET), START)
  assert.equal(one.refusal(segment(TARGET), START), Drop.FromTarget)
  assert.notEqual(other.takeNotice(), undefined)
  assert.equal(one.takeNotice(), undefined)
})
