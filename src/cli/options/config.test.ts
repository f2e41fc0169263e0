import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type CopyOptions, copyCommand } from '../plans/copy-command.ts'
import { readOptions } from './command.ts'

/** The options that tcpcopy reads from a file and a command line. */
function optionsOf(toml: string, ...args: readonly string[]): CopyOptions | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'config-'))
  try {
    const path = join(folder, 'tcpcopy.toml')
    writeFileSync(path, toml)
    return readOptions<CopyOptions>(copyCommand(), ['--config', path, ...args])
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('choices, lists, numbers and switches are read from the file', () => {
  const options = optionsOf('log-format = "json"\nmap = ["80-192.0.2.1:80"]\ntimeout = 30\nonly-new = true')
  assert.equal(options?.logFormat, 'json')
  assert.deepEqual(options?.map, ['80-192.0.2.1:80'])
  assert.equal(options?.timeout, '30')
  assert.equal(options?.onlyNew, true)
})

test('the command line overrides the file', () => {
  assert.equal(optionsOf('timeout = 30', '-t', '60')?.timeout, '60')
})

test('a negated option can be written either way', () => {
  assert.equal(optionsOf('no-wait = true')?.wait, false)
  assert.equal(optionsOf('no-wait = false')?.wait, true)
  assert.equal(optionsOf('wait = false')?.wait, false)
  assert.equal(optionsOf('')?.wait, true)
})

test('unknown options, unknown choices and wrong types are operator errors', () => {
  for (const toml of [
    'log-format = "xml"',
    'log-format = { a = 1 }',
    'tiemout = 3',
    'timeout = [1, 2]',
    'wait = "no"',
    'config = "x"',
    'map = 1 2'
  ]) {
    assert.throws(() => optionsOf(toml), { code: 'bad-config' }, toml)
  }
})
