/** Holds the structure of the tree to its rules: who imports whom, no circles, small folders and files, a pure core. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/** The root of the checkout: this file runs as dist/test/tidy.test.js. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..')
const LINES_MAX = 400
const SOURCES_MAX = 15

/** Folders whose parts have an order: each part may import the parts in front of it. */
const ordered: Readonly<Record<string, readonly string[]>> = {
  core: [
    'books',
    'memory',
    'packets',
    'selection',
    'admission',
    'tcp',
    'target',
    'gate',
    'belief',
    'session',
    'sessions',
    'assistant',
    'datagrams',
    'capture'
  ],
  daemon: ['notices', 'capture', 'channel', 'copier', 'interceptor'],
  sim: ['scenario', 'network', 'target', 'drill', 'simulation'],
  cli: ['firewall', 'options', 'plans', 'threads', 'watch', 'programs']
}

/** What each top part of src may import of the others. `ports` is a file: types, and one list of constants. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  errors: [],
  core: ['wire'],
  ports: ['wire', 'core/packets'],
  doctor: ['ports'],
  daemon: ['ports', 'core', 'wire', 'errors', 'doctor'],
  io: ['ports', 'wire', 'errors', 'core/packets', 'core/books', 'core/capture', 'core/selection'],
  sim: ['ports', 'wire', 'core', 'daemon'],
  cli: ['ports', 'wire', 'core', 'daemon', 'io', 'errors', 'doctor']
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

const isProgram = ({ path }: Source): boolean => !path.endsWith('.test.ts')
const sources = filesBelow('src').map(read)
const programs = sources.filter(isProgram)
const everything = ['src', 'lab', 'test', 'bench'].flatMap(filesBelow).map(read)

/** `core/session` for src/core/session/session.ts, `wire` for src/wire/channel/channel-v1.ts, `ports` for src/ports.ts. */
function partOf(path: string): string {
  const [, top = '', folder = '', file] = path.split('/')
  if (ordered[top] === undefined) return top.replace(/\.ts$/, '')
  return `${top}/${file === undefined ? 'programs' : folder}`
}

function topOf(part: string): string {
  return part.split('/')[0] ?? part
}

/** The files of the tree that a source imports. */
function targetsOf({ path, imports }: Source): string[] {
  return imports.filter((one) => one.startsWith('.')).map((one) => join(dirname(path), one))
}

function isAllowed(part: string, other: string): boolean {
  const top = topOf(part)
  if (part === other) return true
  if (top !== topOf(other)) return [other, topOf(other)].some((one) => mayImport[top]?.includes(one) === true)
  const order = ordered[top]?.map((folder) => `${top}/${folder}`) ?? []
  return order.includes(other) && order.indexOf(other) < order.indexOf(part)
}

test('each part of src imports only what the tables allow', () => {
  const wrong: string[] = []
  for (const source of programs) {
    const part = partOf(source.path)
    const top = topOf(part)
    assert.ok(mayImport[top], `${source.path}: the part "${top}" is not in the table`)
    if (ordered[top]) assert.ok(ordered[top]?.includes(part.slice(top.length + 1)), `${part} has no place in its order`)
    for (const target of targetsOf(source)) {
      if (!isAllowed(part, partOf(target))) wrong.push(`${source.path} imports ${target}`)
    }
  }
  assert.deepEqual(wrong, [])
})

/** Groups of files that import each other in a circle, types included (Tarjan's algorithm). */
function circles(files: readonly Source[]): string[][] {
  const edges = new Map(files.map((source) => [source.path, targetsOf(source)]))
  const indexes = new Map<string, number>()
  const lowest = new Map<string, number>()
  const stack: string[] = []
  const found: string[][] = []
  const visit = (path: string): number => {
    const index = indexes.size
    indexes.set(path, index)
    stack.push(path)
    let low = index
    for (const target of edges.get(path) ?? []) {
      if (!edges.has(target)) continue
      if (!indexes.has(target)) low = Math.min(low, visit(target))
      else if (stack.includes(target)) low = Math.min(low, lowest.get(target) ?? indexes.get(target) ?? low)
    }
    lowest.set(path, low)
    if (low === index) {
      const circle = stack.splice(stack.indexOf(path))
      if (circle.length > 1) found.push(circle.sort())
    }
    return low
  }
  for (const { path } of files) if (!indexes.has(path)) visit(path)
  return found
}

test('no files import each other in a circle, not even types', () => {
  assert.deepEqual(circles(everything.filter(isProgram)), [])
})

test('a circle would be found', () => {
  const file = (path: string, ...imports: string[]): Source => ({ path, text: '', imports })
  const files = [
    file('a.ts', './b.ts'),
    file('b.ts', './c.ts', './d.ts'),
    file('c.ts', './a.ts'),
    file('d.ts', './e.ts'),
    file('e.ts')
  ]
  assert.deepEqual(circles(files), [['a.ts', 'b.ts', 'c.ts']])
})

test('wire and core import nothing outside themselves, and know no clock, dice or process', () => {
  const wrong: string[] = []
  for (const { path, text, imports } of programs) {
    if (!['wire', 'core'].includes(topOf(partOf(path)))) continue
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
    if (/\bprocess\.(argv|env|exit)/.test(text) && topOf(partOf(path)) !== 'cli') wrong.push(`${path} uses process`)
  }
  assert.deepEqual(wrong, [])
})

test(`no file is longer than ${LINES_MAX} lines`, () => {
  const long = everything.filter(({ text }) => text.split('\n').length > LINES_MAX + 1).map(({ path }) => path)
  assert.deepEqual(long, [])
})

test(`no folder has more than ${SOURCES_MAX} sources beside its tests`, () => {
  const counts = new Map<string, number>()
  for (const { path } of everything.filter(isProgram)) counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1)
  assert.deepEqual(
    [...counts].filter(([, count]) => count > SOURCES_MAX),
    []
  )
})

test('the tables are read from real imports', () => {
  const session = programs.find(({ path }) => path === 'src/core/session/session.ts')
  assert.ok(session !== undefined)
  assert.ok(targetsOf(session).includes('src/wire/seq.ts'))
  assert.equal(partOf(session.path), 'core/session')
  assert.ok(sources.length > 30)
})
