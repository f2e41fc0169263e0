/** Holds the documents to the code: what they list is what there is. */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type ProcessOptions, readOptions } from '../src/cli/options/command.ts'
import { type CopyOptions, copyCommand } from '../src/cli/plans/copy-command.ts'
import { copyPlan } from '../src/cli/plans/copy-plan.ts'
import { type InterceptOptions, interceptCommand } from '../src/cli/plans/intercept-plan.ts'
import { Counter, Counters } from '../src/core/books/counters.ts'
import { Drop, dropNames } from '../src/core/books/drop.ts'
import { InterceptCounter } from '../src/core/books/intercept-counters.ts'

/** The root of the checkout: this file runs as dist/test/docs.test.js. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')
const documents = ['README.md', 'ARCHITECTURE.md', 'CONVENTIONS.md', 'CHANGELOG.md', ...below('docs', '.md')]

function below(folder: string, ending: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return below(path, ending)
    return entry.name.endsWith(ending) ? [path] : []
  })
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

/** The part of a document below a heading of the second level, up to the next; the whole without a heading. */
function section(path: string, heading?: string): string {
  const parts = `\n${read(path)}`.split('\n## ')
  if (heading === undefined) return parts.join('\n')
  const found = parts.find((part) => part.startsWith(`${heading}\n`))
  assert.ok(found, `${path} has no section "${heading}"`)
  return found
}

/** What stands in backticks at the beginning of each row of the tables in a text. */
function rowNames(text: string): string[] {
  return [...text.matchAll(/^\| `([^`]+)`/gm)].map((match) => match[1] ?? '').sort()
}

test('docs/counters.md lists the counters of both programs, each with a meaning', () => {
  assert.deepEqual(rowNames(section('docs/counters.md', 'tcpcopy')), Object.keys(Counter).sort())
  assert.deepEqual(rowNames(section('docs/counters.md', 'intercept')), Object.keys(InterceptCounter).sort())
  assert.doesNotMatch(read('docs/counters.md'), /^\| `[^`]+` \|\s*\|/m)
})

test('docs/counters.md lists the books of requests', () => {
  const fields = Object.keys(new Counters().requests.reportOf(0))
  assert.deepEqual(rowNames(section('docs/counters.md', 'Requests')), fields.sort())
  assert.doesNotMatch(section('docs/counters.md', 'Requests'), /^\| `[^`]+` \|\s*\|/m)
})

test('docs/counters.md lists the fields of the latency', () => {
  const counters = new Counters()
  counters.latency.add(1)
  const fields = Object.keys(counters.report()).filter((name) => name.startsWith('latency.'))
  assert.deepEqual(rowNames(section('docs/counters.md', 'Latency')), fields.sort())
})

test('docs/drops.md lists the reasons of drops, each with a meaning', () => {
  const reasons = Object.values(Drop).filter((reason) => reason !== Drop.None)
  assert.deepEqual(rowNames(section('docs/drops.md')), reasons.map((reason) => dropNames[reason] ?? '').sort())
  assert.doesNotMatch(read('docs/drops.md'), /^\| `[^`]+` \|\s*\|/m)
})

test('docs/errors.md lists the codes of the errors that an operator can mend', () => {
  const sources = [...below('src', '.ts'), ...below('lab', '.ts')].filter((path) => !path.endsWith('.test.ts'))
  const codes = sources.flatMap((path) =>
    [...read(path).matchAll(/new OperatorError\(\s*'([^']+)'/g)].map((match) => match[1] ?? '')
  )
  assert.ok(codes.length > 20)
  assert.deepEqual(rowNames(section('docs/errors.md')), [...new Set(codes)].sort())
})

/** `-x, --map` and `--trace`, as a command's own help names them. */
function optionNames(command: ReturnType<typeof copyCommand>): string[] {
  const named = command.options.map(({ short, long }) => (short === undefined ? `${long}` : `${short}, ${long}`))
  return [...named, '-h, --help'].sort()
}

test('docs/configuration.md lists the options of both programs, and no others', () => {
  const both = rowNames(section('docs/configuration.md', 'Both'))
  const copy = [...rowNames(section('docs/configuration.md', 'tcpcopy')), ...both]
  const intercept = [...rowNames(section('docs/configuration.md', 'intercept')), ...both]
  assert.deepEqual(copy.sort(), optionNames(copyCommand()))
  assert.deepEqual(intercept.sort(), optionNames(interceptCommand()))
})

test('docs/configuration.md names the defaults', () => {
  for (const [name, command] of [
    ['tcpcopy', copyCommand()],
    ['intercept', interceptCommand()]
  ] as const) {
    const text = section('docs/configuration.md', name) + section('docs/configuration.md', 'Both')
    for (const { long, defaultValue } of command.options) {
      if (typeof defaultValue !== 'string') continue
      assert.ok(
        new RegExp(`^\\| \`[^\`]*${long}\` \\| ${defaultValue} \\|`, 'm').test(text),
        `${long}: ${defaultValue}`
      )
    }
  }
})

function readExample<Options extends ProcessOptions>(command: ReturnType<typeof copyCommand>, toml: string): Options {
  const folder = mkdtempSync(join(tmpdir(), 'tcpcopy-docs-'))
  try {
    writeFileSync(join(folder, 'example.toml'), toml)
    const options = readOptions<Options>(command, ['--config', join(folder, 'example.toml')])
    assert.ok(options)
    return options
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('the TOML examples are what the programs read', async () => {
  const examples = [...read('docs/configuration.md').matchAll(/^```toml\n(.*?)^```/gms)].map((match) => match[1] ?? '')
  assert.equal(examples.length, 2)
  const copy = readExample<CopyOptions>(copyCommand(), examples[0] ?? '')
  const { selection, session, limits, channel } = (await copyPlan(copy)).settings
  assert.equal(selection.maps.length, 2)
  assert.equal(channel.intercepts.length, 1)
  assert.deepEqual(selection.ranges, [{ first: 0x0a630001, count: 254 }])
  assert.equal(limits.poolBytes, 512 << 20)
  assert.equal(session.timeoutMs, 300_000)
  assert.equal(session.gate.isWaiting, true)
  assert.equal(copy.daemon, true)
  const intercept = readExample<InterceptOptions>(interceptCommand(), examples[1] ?? '')
  assert.deepEqual(intercept.device, ['eth0'])
  assert.equal(intercept.filter, 'tcp and src host 10.77.0.2 and (src port 6379 or src port 80)')
  assert.equal(intercept.daemon, true)
})

/** The option letters of tcpcopy 1.3.0 and intercept 1.0.0. */
const oldLetters = { tcpcopy: 'xscHnfrmMDRUCtkOgWLlPpdhviaITFBSo', intercept: 'iFpbsnDxqlPdhvc' }

test('docs/migrating.md says of each option of tcpcopy 1.x whether it is supported', () => {
  const text = section('docs/migrating.md')
  for (const [name, command] of [
    ['tcpcopy', copyCommand()],
    ['intercept', interceptCommand()]
  ] as const) {
    const table = new RegExp(`\\| ${name} \\| status \\| notes \\|\\n((?:\\|.*\\n)+)`).exec(text)?.[1] ?? ''
    const rows = table.split('\n').map((row) => row.split('|').map((cell) => cell.trim()))
    const known = new Set(optionNames(command).map((option) => /^-(\w),/.exec(option)?.[1]))
    for (const letter of oldLetters[name]) {
      const states = rows.filter(([, what]) => what?.includes(`\`-${letter}`)).map(([, , state]) => state)
      assert.ok(states.length > 0, `${name} -${letter} is not in the table`)
      const isSaid = states.some((state) => state === 'supported' || state === 'accepted')
      assert.equal(isSaid, known.has(letter), `${name} -${letter}: ${states.join(', ')}`)
    }
  }
})

test('links between the documents lead somewhere', () => {
  const links = documents.flatMap((path) =>
    [...read(path).matchAll(/\]\(([^)#:]+)[^)]*\)/g)].map((match) => ({ path, target: match[1] ?? '' }))
  )
  assert.ok(links.length > 5)
  const broken = links.filter(({ path, target }) => !existsSync(join(root, dirname(path), target)))
  assert.deepEqual(broken, [])
})

test('the files that the documents name exist', () => {
  const files = ['src', 'lab', 'test', 'bench'].flatMap((folder) => below(folder, '.ts'))
  const names = documents.flatMap((path) =>
    [...read(path).matchAll(/`([\w./-]+\.ts)`/g)].map((match) => ({ path, name: match[1] ?? '' }))
  )
  assert.ok(names.length > 30)
  const missing = names.filter(({ name }) => !files.some((file) => file === name || file.endsWith(`/${name}`)))
  // An example of a name, in the rules for names of barrels.
  assert.deepEqual(
    missing.map(({ name }) => name).filter((name) => name !== 'index.ts'),
    []
  )
})
