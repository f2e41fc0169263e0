import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causesOf } from './causes.ts'
import type { InterceptView, NoAnswers } from './evidence.ts'
import { explain } from './hints.ts'
import { NO_ANSWERS } from './symptoms.ts'

const NOTHING_KNOWN: NoAnswers = {
  source: '*:6379',
  target: '10.77.0.2:6379',
  connections: 20,
  refused: 0,
  loopback: 0,
  ownAddress: 0,
  client: '10.77.0.10',
  answeredOthers: 0,
  sendRefused: {},
  path: { state: 'known', hop: '10.77.0.2 on eth0' },
  truncated: 0,
  truncatedLength: 0,
  channelsOpen: 2,
  isOnTarget: false
}

const SEES_NOTHING: InterceptView = {
  routes: 20,
  capturesAny: false,
  hasRouted: false,
  hasUnrouted: false,
  hasResets: false,
  synAckTtl: 0,
  resetTtl: 0,
  forwards: false
}

function names(evidence: Partial<NoAnswers>): string {
  return causesOf({ ...NOTHING_KNOWN, ...evidence })
    .map(({ name }) => name)
    .join(' ')
}

function first(evidence: Partial<NoAnswers>): string {
  return causesOf({ ...NOTHING_KNOWN, ...evidence })[0]?.text ?? ''
}

const cases: readonly (readonly [string, Partial<NoAnswers>, string])[] = [
  [
    'without a word from intercept, everything remains',
    {},
    'no-route-to-clients spoofed assistant-forwards filter lost-on-the-way'
  ],
  [
    'intercept does not forward, and sees nothing',
    { intercept: SEES_NOTHING },
    'no-route-to-clients spoofed filter lost-on-the-way'
  ],
  ['intercept forwards', { intercept: { ...SEES_NOTHING, forwards: true } }, 'assistant-forwards'],
  ['SYN-ACKs without a route', { intercept: { ...SEES_NOTHING, hasUnrouted: true, capturesAny: true } }, 'unrouted'],
  ['SYN-ACKs that were returned', { intercept: { ...SEES_NOTHING, hasRouted: true } }, 'lost-answers'],
  ['resets instead of SYN-ACKs', { refused: 20, intercept: { ...SEES_NOTHING, hasResets: true } }, 'refused'],
  ['some connections were refused', { refused: 3 }, 'refused assistant-forwards'],
  ['the channel is closed', { channelsOpen: 0, refused: 0 }, 'channel-closed'],
  ['the next hop is down', { path: { state: 'unresolved', hop: '10.77.0.2 on eth0' } }, 'neighbour-unresolved'],
  [
    'there is no route',
    { path: { state: 'none', hop: '' }, sendRefused: { 101: 20 } },
    'no-route-to-target send-refused'
  ],
  ['the firewall refuses all', { sendRefused: { 1: 40 } }, 'send-refused'],
  [
    'the firewall refuses some',
    { sendRefused: { 1: 2 }, intercept: SEES_NOTHING },
    'send-refused no-route-to-clients spoofed filter lost-on-the-way'
  ],
  ['all clients are of the loopback device', { loopback: 20 }, 'loopback-client'],
  ['all copies have an address of this host', { ownAddress: 20, intercept: SEES_NOTHING }, 'own-address'],
  ['open connections are answered', { answeredOthers: 3, intercept: SEES_NOTHING }, 'listener-full'],
  ['the capture is truncated', { truncated: 9, intercept: SEES_NOTHING, answeredOthers: 1 }, 'listener-full truncated'],
  ['intercept on the target', { isOnTarget: true, intercept: SEES_NOTHING }, 'no-queue-rule spoofed lost-on-the-way'],
  [
    'IPv6 has no rp_filter',
    { target: '[2001:db8::2]:80', intercept: SEES_NOTHING },
    'no-route-to-clients filter lost-on-the-way'
  ]
]

for (const [name, evidence, expected] of cases) {
  test(`causes: ${name}`, () => assert.equal(names(evidence), expected))
}

test('the TTL of resets tells who sent them', () => {
  const resets = (resetTtl: number, synAckTtl = 0): string =>
    first({ refused: 20, intercept: { ...SEES_NOTHING, hasResets: true, resetTtl, synAckTtl } })
  assert.match(resets(64), /a host on the same network \(TTL 64\): nothing listens on port 6379/)
  assert.match(resets(126), /a host 2 routers away/)
  assert.match(resets(255, 63), /their TTL is 255, that of its SYN-ACKs 63, so another host sends them: a firewall/)
})

test('each errno has its advice', () => {
  assert.match(first({ sendRefused: { 1: 40 } }), /40 packets \(EPERM\): its firewall drops the copies, .*conntrack/)
  assert.match(first({ sendRefused: { 90: 40 } }), /Set -M/)
  assert.match(first({ sendRefused: { 101: 40 } }), /ip route get 10\.77\.0\.2/)
})

test('the hint names counts, causes and commands', () => {
  const hint = explain(NO_ANSWERS, { ...NOTHING_KNOWN, connections: 1, intercept: SEES_NOTHING }) ?? ''
  assert.match(hint, /^\*:6379 to 10\.77\.0\.2:6379: 1 connection not accepted\. Likely causes, most/)
  assert.match(
    hint,
    /\n {2}- the target has no route to the clients .*\(intercept has 20 routes and captures nothing\)/
  )
  assert.match(hint, /ip route get 10\.77\.0\.10/)
  const single = explain(NO_ANSWERS, { ...NOTHING_KNOWN, channelsOpen: 0 }) ?? ''
  assert.match(single, /The cause:\n {2}- intercept is not connected/)
})

test('a target of IPv6 is named by its address', () => {
  const hint = explain(NO_ANSWERS, { ...NOTHING_KNOWN, target: '[2001:db8::2]:80', client: '2001:db8::9' }) ?? ''
  assert.match(hint, /ip -6 route get 2001:db8::9/)
  assert.match(hint, /src host 2001:db8::2 and src port 80/)
})
