import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** The root of the checkout: this file runs as dist/test/tidy.test.js. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')
const LINES_MAX = 400

/** What each part of src may import of the others. `ports` is a file; it holds types, and one list of constants. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  errors: [],
  core: ['wire'],
  ports: ['wire', 'core'],
  daemon: ['ports', 'core', 'wire', 'errors'],
  io: ['ports', 'wire', 'errors', 'core'],
  sim: ['ports', 'wire', 'core', 'daemon'],
  'cli/firewall': ['ports', 'wire', 'core', 'io', 'errors'],
  'cli/options': ['wire', 'core', 'daemon', 'io', 'errors', 'cli/firewall'],
  'cli/threads': ['ports', 'wire', 'core', 'daemon', 'io', 'errors', 'cli/options'],
  cli: ['ports', 'wire', 'core', 'daemon', 'io', 'errors', 'cli/firewall', 'cli/options', 'cli/threads']
}

/** Words that would make wire or core depend on more than their arguments. */
const impure = /\b(Date|performance|Math\.random|setTimeout|setInterval|setImmediate|process|console|require)\b/

interface Source {
  readonly path: string
  readonly text: string
  readonly imports: readonly string[]
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return filesBelow(path)
    return entry.name.endsWith('.ts') ? [path] : []
  })
}

function read(path: string): Source {
  const text = readFileSync(join(root, path), 'utf8')
  const imports = [...text.matchAll(/^(?:import|export)\b[^'"]*?from '([^']+)'|^import '([^']+)'/gms)].map(
    (match) => match[1] ?? match[2] ?? ''
  )
  return { path, text, imports }
}

const sources = filesBelow('src').map(read)
const programs = sources.filter((source) => !source.path.endsWith('.test.ts'))

/** `core` for src/core/session.ts, `cli/options` for src/cli/options/config.ts, `ports` for src/ports.ts. */
function partOf(path: string): string {
  const [part = '', folder = '', file] = relative('src', path).split('/')
  return part === 'cli' && file !== undefined ? `${part}/${folder}` : part.replace(/\.ts$/, '')
}

test('each part of src imports only what the table allows', () => {
  const wrong: string[] = []
  for (const { path, imports } of programs) {
    const part = partOf(path)
    const allowed = mayImport[part]
    assert.ok(allowed, `${path}: the part "${part}" is not in the table`)
    for (const target of imports.filter((one) => one.startsWith('.'))) {
      const other = partOf(join(dirname(path), target))
      if (other !== part && !allowed.includes(other)) wrong.push(`${path} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('wire and core import nothing outside themselves, and know no clock, dice or process', () => {
  const wrong: string[] = []
  for (const { path, text, imports } of programs) {
    if (!['wire', 'core'].includes(partOf(path))) continue
    for (const target of imports) if (!target.startsWith('.')) wrong.push(`${path} imports ${target}`)
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
    const word = impure.exec(code)
    if (word !== null) wrong.push(`${path} uses ${word[0]}`)
  }
  assert.deepEqual(wrong, [])
})

test('only io/linux calls into C, and only cli reads the command line, the environment and exits', () => {
  const wrong: string[] = []
  for (const { path, text, imports } of programs) {
    if (imports.includes('koffi') && !path.startsWith('src/io/linux/')) wrong.push(`${path} imports koffi`)
    if (/\bprocess\.(argv|env|exit)/.test(text) && !partOf(path).startsWith('cli')) wrong.push(`${path} uses process`)
  }
  assert.deepEqual(wrong, [])
})

test(`no file is longer than ${LINES_MAX} lines`, () => {
  const all = ['src', 'lab', 'test', 'bench'].flatMap(filesBelow).map(read)
  const long = all.filter(({ text }) => text.split('\n').length > LINES_MAX + 1).map(({ path }) => path)
  assert.deepEqual(long, [])
})

test('the table is read from real imports', () => {
  const session = programs.find(({ path }) => path === 'src/core/session.ts')
  assert.ok(session?.imports.includes('../wire/seq.ts'))
  assert.ok(sources.length > 30)
})
