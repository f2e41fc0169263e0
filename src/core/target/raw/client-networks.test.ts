import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../../wire/address.ts'
import { unansweredNetworks } from './client-networks.ts'

/** @param answered, silent: addresses; each opened ten connections */
function networks(answered: readonly string[], silent: readonly string[]): string {
  const clients = (addresses: readonly string[], isAnswered: boolean) =>
    addresses.map((text) => ({ address: parseAddress(text) ?? 0, connections: 10, isAnswered }))
  return unansweredNetworks([...clients(answered, true), ...clients(silent, false)])
    .map(({ network, connections }) => `${network} ${connections}`)
    .join(', ')
}

test('clients without an answer are summed up to the smallest networks without an answered one', () => {
  assert.equal(networks(['10.77.0.10'], ['10.77.0.11', '10.77.0.12', '10.77.0.13']), '10.77.0.12/31 20, 10.77.0.11 10')
  assert.equal(networks(['10.1.0.5', '10.1.0.200'], ['10.2.0.1', '10.2.3.4']), '10.2.0.0/22 20')
  assert.equal(networks(['10.1.0.5'], ['192.168.0.7']), '192.168.0.7 10')
  assert.equal(networks(['10.1.0.5'], []), '')
})

test('IPv6 clients are networks of their own', () => {
  assert.equal(
    networks(['2001:db8:1::1', '10.0.0.1'], ['2001:db8:2::1', '2001:db8:2::2', '10.0.0.2']),
    '2001:db8:2::/126 20, 10.0.0.2 10'
  )
})
