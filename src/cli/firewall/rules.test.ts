import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OperatorError } from '../../errors.ts'
import { parseAddress } from '../../wire/address.ts'
import { answerPlaces } from '../plans/answer-filter.ts'
import { iptablesByHand, isUntracked, nftScript, type RuleSet } from './rules.ts'

const TARGET = 0x0a4d0002
const PLACE = { address: TARGET, port: 6379 }
const queued: RuleSet = {
  version: 4,
  mark: 'tcpcopy-intercept-queue-3',
  action: { kind: 'queue', queue: 3, isBypass: true },
  places: [PLACE, { address: 0, port: 80 }]
}
const dropped: RuleSet = { version: 4, mark: 'tcpcopy-intercept-port-36524', action: { kind: 'drop' }, places: [PLACE] }
const untracked: RuleSet = { version: 4, mark: 'tcpcopy-copies', action: { kind: 'untrack' }, places: [PLACE] }

test('rules are written for iptables', () => {
  assert.equal(
    iptablesByHand(queued),
    'iptables -t mangle -I OUTPUT ! -o lo -p tcp -s 10.77.0.2 --sport 6379 -m comment --comment tcpcopy-intercept-queue-3 ' +
      '-j NFQUEUE --queue-num 3 --queue-bypass; ' +
      'iptables -t mangle -I OUTPUT ! -o lo -p tcp --sport 80 -m comment --comment tcpcopy-intercept-queue-3 ' +
      '-j NFQUEUE --queue-num 3 --queue-bypass'
  )
  assert.equal(
    iptablesByHand(dropped),
    'iptables -t mangle -I PREROUTING -m addrtype ! --dst-type LOCAL -p tcp -s 10.77.0.2 --sport 6379 ' +
      '-m comment --comment tcpcopy-intercept-port-36524 -j DROP'
  )
  assert.equal(
    iptablesByHand(untracked),
    'iptables -t raw -I OUTPUT -p tcp -d 10.77.0.2 --dport 6379 -m comment --comment tcpcopy-copies -j CT --notrack'
  )
})

test('a rule for 127.0.0.0/8 includes lo, the only device that such packets use', () => {
  const home: RuleSet = { ...queued, places: [{ address: 0x7f000001, port: 6380 }] }
  assert.match(iptablesByHand(home), /-I OUTPUT -p tcp -s 127\.0\.0\.1 --sport 6380 /)
  assert.match(nftScript(home), /^ +ip saddr 127\.0\.0\.1 tcp sport 6380 queue/m)
})

test('rules for nft are one table that replaces the previous one', () => {
  const script = nftScript(queued).split('\n')
  assert.deepEqual(script.slice(0, 3), [
    'add table ip tcpcopy-intercept-queue-3',
    'delete table ip tcpcopy-intercept-queue-3',
    'table ip tcpcopy-intercept-queue-3 {'
  ])
  assert.deepEqual(script.slice(4, 7), [
    '    type filter hook output priority -150;',
    '    oifname != "lo" ip saddr 10.77.0.2 tcp sport 6379 queue num 3 bypass;',
    '    oifname != "lo" tcp sport 80 queue num 3 bypass;'
  ])
  assert.match(
    nftScript(dropped),
    /hook prerouting priority -150;\n *fib daddr type != local ip saddr 10\.77\.0\.2 tcp sport 6379 drop;/
  )
  assert.match(nftScript(untracked), /hook output priority -300;\n *ip daddr 10\.77\.0\.2 tcp dport 6379 notrack;/)
})

const PLACE_6 = { address: parseAddress('fd77::2') ?? 0, port: 6379 }

test('IPv6 rules are written for ip6tables, and for nft tables named like those of IPv4', () => {
  const queued6: RuleSet = { ...queued, version: 6, places: [PLACE_6, { address: 0, port: 80 }] }
  assert.match(
    iptablesByHand(queued6),
    /^ip6tables -t mangle -I OUTPUT ! -o lo -p tcp -s fd77::2 --sport 6379 .*; ip6t/
  )
  assert.match(iptablesByHand(queued6, 'iptables-legacy'), /^ip6tables-legacy -t mangle/)
  assert.match(nftScript(queued6), /^table ip6 tcpcopy-intercept-queue-3 \{$/m)
  assert.match(nftScript(queued6), /oifname != "lo" ip6 saddr fd77::2 tcp sport 6379 queue num 3 bypass;/)
  const home: RuleSet = { ...queued6, places: [{ address: parseAddress('::1') ?? 0, port: 6380 }] }
  assert.match(iptablesByHand(home), /-I OUTPUT -p tcp -s ::1 --sport 6380 /)
})

test('a notrack rule is found in the output of the firewalls, and other rules are not mistaken for it', () => {
  for (const [rule, expected] of [
    ['-A OUTPUT -d 10.77.0.2/32 -p tcp -m tcp --dport 6379 -j CT --notrack', true],
    ['-A OUTPUT -d 10.77.0.2/32 -p tcp -m tcp --dport 6379 -m comment --comment x -j NOTRACK', true],
    ['\t\tip daddr 10.77.0.2 tcp dport 6379 counter packets 0 bytes 0 notrack', true],
    ['-A OUTPUT -j CT --notrack', true],
    ['-A OUTPUT -p tcp -m tcp --dport 6379 -j CT --notrack', true],
    ['-A OUTPUT -d 10.77.0.3/32 -p tcp -m tcp --dport 6379 -j CT --notrack', false],
    ['-A OUTPUT -d 10.77.0.2/32 -p tcp -m tcp --dport 80 -j CT --notrack', false],
    ['-A OUTPUT ! -d 10.77.0.2/32 -p tcp -m tcp --dport 6379 -j CT --notrack', false],
    ['-A PREROUTING -d 10.77.0.2/32 -p tcp -m tcp --dport 6379 -j CT --notrack', false],
    ['-A OUTPUT -s 10.9.0.1/32 -p tcp -m tcp --dport 6379 -j CT --notrack', false],
    ['-A OUTPUT -d 10.77.0.2/32 -p tcp -m tcp --dport 6379 -j ACCEPT', false],
    ['\t\tip daddr 10.77.0.2 tcp dport { 80, 443 } notrack', false],
    ['\t\tip daddr != 10.77.0.2 notrack', false],
    ['', false]
  ] as const) {
    assert.equal(isUntracked([rule], PLACE), expected, rule)
  }
  assert.ok(isUntracked(['-A OUTPUT -d fd77::2/128 -p tcp -m tcp --dport 6379 -j CT --notrack'], PLACE_6))
  assert.ok(!isUntracked(['\t\tip6 daddr fd77::3 tcp dport 6379 notrack'], PLACE_6))
})

test('addresses and ports are taken from a filter that a rule can express', () => {
  const any = { address: 0, port: 6379 }
  for (const [filter, expected, expected6] of [
    ['tcp and src port 6379', [any], [any]],
    ['tcp src port 6379', [any], [any]],
    ['src port 6379 and tcp', [any], [any]],
    ['ip6 and tcp and src port 6379', [], [any]],
    ['ip6 proto tcp and src host fd77::2 and src port 6379', [], [PLACE_6]],
    ['tcp and (src host fd77::2 or src host 10.77.0.2) and src port 6379', [PLACE], [PLACE_6]],
    ['  ip  and tcp && src  port 6379 ', [any]],
    ['tcp and src host 10.77.0.2 and src port 6379', [PLACE]],
    ['src 10.77.0.2 and tcp src port 6379', [PLACE]],
    ['tcp and src host 10.77.0.2 and (src port 6379 or src port 80)', [PLACE, { address: TARGET, port: 80 }]],
    [
      '( src host 10.77.0.2 || src host 10.77.0.3 ) and src port 80',
      [TARGET, TARGET + 1].map((address) => ({ address, port: 80 }))
    ]
  ] as const) {
    assert.deepEqual(answerPlaces(filter), { ipv4: expected, ipv6: expected6 ?? [] }, filter)
  }
})

test('a filter that a rule cannot express exactly is rejected', () => {
  for (const filter of [
    'tcp',
    '',
    'port 6379',
    'tcp and port 6379',
    'src host 10.77.0.2',
    'tcp and not src port 22',
    'tcp and src port 80 or src port 81',
    'src port 80 or src port 81',
    'tcp and src port 80 and src port 81',
    'tcp and (src port 80 or udp)',
    'tcp and src net 10.77.0.0/24 and src port 80',
    'udp and src port 80',
    'tcp and src portrange 80-90',
    'tcp and src port http',
    'tcp and src port 70000',
    'tcp and src port 0',
    'tcp and src host 10.77.0.256 and src port 80',
    'tcp and src host fd77::2::3 and src port 80',
    'ip and src host fd77::2 and src port 80'
  ]) {
    assert.throws(
      () => answerPlaces(filter),
      (error) => error instanceof OperatorError && error.code === 'bad-rule',
      filter
    )
  }
})
