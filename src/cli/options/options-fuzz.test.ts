/** Any options give a plan or a one-sentence error. FUZZ_SEED selects other cases. */
import assert from 'node:assert/strict'
import dns from 'node:dns/promises'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Command } from 'commander'
import fc from 'fast-check'
import { OperatorError } from '../../errors.ts'
import { type CopyOptions, copyCommand } from '../plans/copy-command.ts'
import { copiesWarnings, copyPlan } from '../plans/copy-plan.ts'
import { type InterceptOptions, interceptCommand, interceptPlan } from '../plans/intercept-plan.ts'
import { readOptions } from './command.ts'

const RUNS = { numRuns: 400, seed: Number(process.env.FUZZ_SEED ?? 1), interruptAfterTimeLimit: 2000 }

const lookup = dns.lookup
const folder = mkdtempSync(join(tmpdir(), 'options-'))

before(() => {
  // Random names are not looked up.
  Object.assign(dns, { lookup: () => Promise.reject(new Error('not known')) })
  syncBuiltinESMExports()
})

after(() => {
  Object.assign(dns, { lookup })
  syncBuiltinESMExports()
  rmSync(folder, { recursive: true })
})

const words = ['80-192.0.2.1:80', '192.0.2.1', '10.0.0.x', '10.0.0.0/24', '0.0.0.0/8', '80', '0', '1', '1.3', '-1']
const odd = ['1e3', 'NaN', '', ' ', ',', ':', '-', '80-', ':80-[::1]:80', '99999-1.2.3.4:5', 'all', 'json', '☃', '--']
const word = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...words) },
  { weight: 2, arbitrary: fc.constantFrom(...odd) },
  { weight: 1, arbitrary: fc.string({ maxLength: 12 }) },
  { weight: 1, arbitrary: fc.integer().map(String) },
  { weight: 1, arbitrary: fc.double().map(String) }
)

function namesOf(command: Command): string[] {
  return command.options.flatMap(({ long, short }) => [long ?? '', short ?? '']).filter((name) => name !== '')
}

/** Throws an OperatorError or nothing. */
async function bears(run: () => Promise<unknown>): Promise<void> {
  try {
    await run()
  } catch (error) {
    assert.ok(error instanceof OperatorError, `${String(error)}\n${error instanceof Error ? error.stack : ''}`)
    assert.ok(error.message !== '' && error.hint !== '' && error.code !== '')
  }
}

const programs = [
  {
    name: 'tcpcopy',
    needed: ['-x', '80-192.0.2.1:80', '-s', '192.0.2.2'],
    command: copyCommand,
    plan: async (command: Command, args: readonly string[]) => {
      const options = readOptions<CopyOptions>(command, args)
      if (options !== undefined) copiesWarnings(await copyPlan(options))
    }
  },
  {
    name: 'intercept',
    needed: ['-F', 'tcp', '--allow-forwarding'],
    command: interceptCommand,
    plan: async (command: Command, args: readonly string[]) => {
      const options = readOptions<InterceptOptions>(command, args)
      if (options !== undefined) await interceptPlan(options)
    }
  }
]

for (const { name, needed, command, plan } of programs) {
  const quiet = (): Command => command().configureOutput({ writeOut: () => {}, writeErr: () => {} })
  const option = fc.oneof({ weight: 5, arbitrary: fc.constantFrom(...namesOf(command())) }, word)

  test(`${name} handles any command line`, async () => {
    const args = fc.array(fc.oneof(fc.tuple(option, word), fc.tuple(option)), { maxLength: 5 }).map((all) => all.flat())
    const line = fc.tuple(fc.constantFrom(needed, needed, []), args).map(([first, rest]) => [...first, ...rest])
    await fc.assert(
      fc.asyncProperty(line, (all) => bears(() => plan(quiet(), all))),
      RUNS
    )
  })

  test(`${name} handles any configuration file`, async () => {
    const keys = namesOf(command()).map((one) => one.replace(/^-+/, ''))
    const scalar = fc.oneof(
      word.map((text) => JSON.stringify(text)),
      fc.integer().map(String)
    )
    const value = fc.oneof(
      { weight: 6, arbitrary: scalar },
      { weight: 2, arbitrary: fc.array(scalar, { maxLength: 3 }).map((all) => `[${all.join(', ')}]`) },
      {
        weight: 3,
        arbitrary: fc.constantFrom('true', 'false', '1979-05-27', 'inf', 'nan', '{ a = 1 }', '[[1]]', '1.5')
      },
      { weight: 1, arbitrary: fc.string({ maxLength: 10 }) }
    )
    const key = fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...keys) },
      fc.constantFrom('a.b', '__proto__', '"x y"')
    )
    const entry = fc.tuple(key, value).map(([left, right]) => `${left} = ${right}`)
    const file = fc.oneof(
      { weight: 9, arbitrary: fc.array(entry, { maxLength: 4 }).map((all) => all.join('\n')) },
      { weight: 1, arbitrary: fc.string({ maxLength: 60 }) }
    )
    const path = join(folder, `${name}.toml`)
    await fc.assert(
      fc.asyncProperty(file, fc.boolean(), (text, isNeeded) => {
        writeFileSync(path, text)
        return bears(() => plan(quiet(), [...(isNeeded ? needed : []), '--config', path]))
      }),
      RUNS
    )
  })
}
