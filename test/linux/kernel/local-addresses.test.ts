/** What the kernel says of the addresses of this host. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { LocalAddresses } from '../../../src/io/linux/netlink/local-addresses.ts'
import { parseAddress } from '../../../src/wire/address.ts'
import { inNamespace, ip } from '../support/namespace.ts'

const address = (text: string): number => parseAddress(text) ?? assert.fail(text)

inNamespace(import.meta.url, () => {
  test('its own addresses are those with local routes in any table; others are not, nor broadcasts', () => {
    const own = new LocalAddresses()
    for (const text of ['127.0.0.1', '127.9.9.9', '10.9.0.1']) assert.ok(own.has(address(text)), text)
    for (const text of ['10.9.0.2', '10.9.0.255', '255.255.255.255', '224.0.0.1', '10.80.0.7', 'fd9::1']) {
      assert.ok(!own.has(address(text)), text)
    }
  })

  test('addresses, prefixes of other tables and IPv6 addresses are noticed after a second, and their removal too', () => {
    for (const name of ['all', 'default', 'lo', 'va'])
      writeFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, '0')
    const own = new LocalAddresses()
    own.refresh(1000)
    ip('address add 10.79.0.9/32 dev lo')
    ip('route add local 10.80.0.0/24 dev lo table 99')
    ip('address add fd9::1/64 dev va nodad')
    ip('route add local fd80::/60 dev lo table 99')
    const added = ['10.79.0.9', '10.80.0.7', 'fd9::1', 'fd80::7', '::1']
    own.refresh(1500)
    assert.ok(!own.has(address('10.79.0.9')))
    own.refresh(60_000)
    for (const text of added) assert.ok(own.has(address(text)), text)
    for (const text of ['fd80:0:0:10::1', 'fd9::2', '10.80.1.7']) assert.ok(!own.has(address(text)), text)
    ip('address del 10.79.0.9/32 dev lo')
    own.refresh(120_000)
    assert.ok(!own.has(address('10.79.0.9')))
  })

  test('thousands of addresses are read whole', () => {
    const lines = Array.from({ length: 5000 }, (_, index) => `address add 10.70.${index >> 8}.${index & 255}/32 dev lo`)
    execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') })
    const own = new LocalAddresses()
    for (let index = 0; index < 5000; index++) assert.ok(own.has(address(`10.70.${index >> 8}.${index & 255}`)))
    assert.ok(!own.has(address('10.70.19.200')))
  })
})
