/** A network namespace for a test file: root's, or one that an ordinary user may make. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const INSIDE = 'TCPCOPY_TEST_NAMESPACE'

/** Runs ip(8) with these words. */
export function ip(words: string): void {
  execFileSync('ip', words.split(' '))
}

/** Makes va and vb, the ends of a veth pair: packets to 10.9.0.2 leave va and arrive on vb. */
export function addWire(): void {
  ip('link add va type veth peer name vb')
  ip('addr add 10.9.0.1/24 dev va')
  ip('link set va up')
  ip('link set vb address 02:00:00:00:00:0b')
  ip('link set vb up')
  ip('neigh add 10.9.0.2 lladdr 02:00:00:00:00:0b dev va')
}

/** Turns the offloads of both ends on or off. */
export function setOffloads(state: 'on' | 'off'): void {
  for (const device of ['va', 'vb']) {
    const features = ['tx', 'sg', 'tso', 'gso', 'gro'].flatMap((name) => [name, state])
    execFileSync('ethtool', ['-K', device, ...features], { stdio: 'ignore' })
  }
}

/**
 * Defines the tests of the file `url` in a namespace of their own, by running the file again inside it, with lo up and the
 * veth pair in place. IPv6 is off unless a file turns it on.
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
  // With IPv6 the kernel would send packets of its own on every device.
  const settings = ['all', 'default'].map((of) => `/proc/sys/net/ipv6/conf/${of}/disable_ipv6`)
  for (const setting of settings) if (existsSync(setting)) writeFileSync(setting, '1')
  ip('link set lo up')
  addWire()
  defineTests()
}
