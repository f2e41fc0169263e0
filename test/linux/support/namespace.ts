/** A network namespace for a test file: root's, or one that an ordinary user may make. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const INSIDE = 'TCPCOPY_TEST_NAMESPACE'

/** Runs `ip` with these words. */
export function ip(words: string): void {
  execFileSync('ip', words.split(' '))
}

/** va and vb, two ends of one wire, where what is sent to 10.9.0.2 leaves va and enters vb. */
export function layWire(): void {
  ip('link add va type veth peer name vb')
  ip('addr add 10.9.0.1/24 dev va')
  ip('link set va up')
  ip('link set vb address 02:00:00:00:00:0b')
  ip('link set vb up')
  ip('neigh add 10.9.0.2 lladdr 02:00:00:00:00:0b dev va')
}

/**
 * Defines the tests of the file `url` in a namespace of their own, by starting it again in there: lo is up, the wire is
 * laid. There is no IPv6 but where a file lets it.
 */
export function inNamespace(url: string, defineTests: () => void): void {
  if (process.env[INSIDE] === undefined) {
    test('in a network namespace of its own', () => {
      const { NODE_TEST_CONTEXT: _, ...environment } = process.env
      const flags = process.getuid?.() === 0 ? '-nm' : '-Urnm'
      const command = [flags, process.execPath, '--test-reporter=spec', fileURLToPath(url)]
      const child = spawnSync('unshare', command, { env: { ...environment, [INSIDE]: '1' }, encoding: 'utf8' })
      process.stdout.write(child.stdout)
      assert.equal(child.status, 0, child.stderr + child.stdout)
    })
    return
  }
  // The kernel would speak about addresses and groups of its own on every wire.
  const settings = ['all', 'default'].map((of) => `/proc/sys/net/ipv6/conf/${of}/disable_ipv6`)
  for (const setting of settings) if (existsSync(setting)) writeFileSync(setting, '1')
  ip('link set lo up')
  layWire()
  defineTests()
}
