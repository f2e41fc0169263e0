import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../wire/address.ts'
import { noFindings, parseFindings, putFindings } from '../../wire/channel/finding-records.ts'
import { Flow } from '../../wire/flow.ts'
import { ACK, RST, Segment, SYN } from '../../wire/segment.ts'
import { TargetFindings } from './target-findings.ts'

function segment(from: string, port: number, flags: number, ttl = 64): Segment {
  const one = new Segment()
  one.fromAddress = parseAddress(from) ?? 0
  one.fromPort = port
  one.flags = flags
  one.ttl = ttl
  return one
}

const TARGET = parseAddress('10.0.0.2') ?? 0

test('SYN-ACKs and resets are counted by target, with their age and TTL', () => {
  const findings = new TargetFindings()
  findings.saw(segment('10.0.0.2', 80, SYN | ACK, 63), true, 1000)
  findings.saw(segment('10.0.0.2', 80, SYN | ACK, 62), false, 2000)
  findings.saw(segment('10.0.0.2', 80, RST | ACK, 255), true, 3000)
  findings.saw(segment('10.0.0.2', 80, SYN), true, 3000)
  findings.saw(segment('10.0.0.2', 81, SYN | ACK), true, 3000)
  findings.captured(3500)
  const found = findings.of(TARGET, 80, 17, 5000)
  assert.deepEqual(found, {
    forwards: false,
    isIncomplete: false,
    routes: 17,
    routed: 1,
    unrouted: 1,
    resets: 1,
    routedAgeMs: 4000,
    unroutedAgeMs: 3000,
    resetAgeMs: 2000,
    capturedAgeMs: 1500,
    synAckTtl: 62,
    resetTtl: 255
  })
  assert.deepEqual(findings.of(TARGET, 82, 0, 5000), { ...noFindings(), capturedAgeMs: 1500 })
})

test('workers share what they find, whenever their clocks began', () => {
  const words = new Int32Array(new SharedArrayBuffer(4 * TargetFindings.length))
  const one = new TargetFindings({ words, clockMs: 1_000_000 })
  const other = new TargetFindings({ words, clockMs: 1_004_000 })
  one.saw(segment('2001:db8::2', 80, SYN | ACK), true, 5000)
  other.saw(segment('2001:db8::2', 80, SYN | ACK), true, 2000)
  one.forwards = true
  const found = other.of(parseAddress('2001:db8::2') ?? 0, 80, 0, 3000)
  assert.equal(found.routed, 2)
  assert.equal(found.routedAgeMs, 1000)
  assert.equal(found.forwards, true)
})

test('when there are too many targets, the rest is not said to be silent', () => {
  const findings = new TargetFindings()
  for (let port = 1; port <= 65; port++) findings.saw(segment('10.0.0.3', port, SYN | ACK), true, 1)
  assert.equal(findings.of(TARGET, 80, 0, 2).isIncomplete, true)
  assert.equal(findings.of(parseAddress('10.0.0.3') ?? 0, 64, 0, 2).routed, 1)
})

test('findings survive their record', () => {
  for (const target of ['10.0.0.2', '2001:db8::2']) {
    const address = parseAddress(target) ?? 0
    const findings = { ...noFindings(), forwards: true, routes: 3, resets: 9, resetAgeMs: 1234, resetTtl: 200 }
    const bytes = new Uint8Array(100)
    putFindings(bytes, 4, new Flow().set(0, 0, address, 80), findings)
    assert.deepEqual(parseFindings(bytes, 4), findings)
  }
})
