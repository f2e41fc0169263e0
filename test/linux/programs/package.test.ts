/** The package that `npm pack` makes, installed in another place. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ASSISTANT, MAP, openCopyLab, PORT, ROOT, startReady } from '../../../lab/hosts/copy-lab.ts'
import { finishCopy } from '../support/books.ts'
import { untilSame } from '../support/waiting.ts'

/** Runs the npm that started this test, or the one in PATH. */
function npm(...args: readonly string[]): string {
  const started = process.env.npm_execpath
  const command = started?.endsWith('.js') === true ? [process.execPath, started] : ['npm']
  const [program = 'npm', ...first] = command
  return execFileSync(program, [...first, ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore']
  })
}

/** Unpacks the package into `folder`/node_modules, with this checkout's dependencies beside it: npm would need a network. */
function install(folder: string): void {
  // Without its prepack script, which would rebuild dist/ while the tests run from it.
  const packed = npm(
    'pack',
    '--ignore-scripts',
    '--json',
    '--pack-destination',
    folder,
    '--cache',
    join(folder, 'cache')
  )
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }] // as: what npm prints
  const modules = join(folder, 'node_modules')
  mkdirSync(join(modules, '.bin'), { recursive: true })
  execFileSync('tar', ['-xzf', join(folder, filename), '-C', modules])
  execFileSync('mv', [join(modules, 'package'), join(modules, 'tcpcopy')])
  const { bin, dependencies } = JSON.parse(readFileSync(join(modules, 'tcpcopy', 'package.json'), 'utf8')) as {
    bin: Record<string, string>
    dependencies: Record<string, string>
  } // as: our own package.json
  for (const [name, path] of Object.entries(bin)) symlinkSync(join('..', 'tcpcopy', path), join(modules, '.bin', name))
  for (const name of Object.keys(dependencies)) symlinkSync(join(ROOT, 'node_modules', name), join(modules, name))
}

test('the packed and installed programs copy, and the package has neither tests nor simulations', async () => {
  await using lab = await openCopyLab()
  install(lab.folder)
  const bin = join(lab.folder, 'node_modules', '.bin')
  const redis = await lab.startRedisPair()
  await startReady(lab.hosts.assistant, join(bin, 'intercept'), ['-i', 'eth0', '-F', `tcp and src port ${PORT}`])
  const tcpcopy = await startReady(lab.hosts.source, join(bin, 'tcpcopy'), ['-x', MAP, '-s', ASSISTANT])
  assert.equal(await lab.ask('SET', 'packed', 'yes'), 'OK')
  await untilSame(redis.source, redis.target)
  await finishCopy(tcpcopy)
  const files = execFileSync('find', ['.', '-type', 'f'], {
    cwd: join(lab.folder, 'node_modules', 'tcpcopy'),
    encoding: 'utf8'
  })
  assert.match(files, /^\.\/dist\/src\/cli\/tcpcopy\.js$/m)
  assert.doesNotMatch(files, /\.test\.js|\/sim\/|\/lab\/|^\.\/src\//m)
})
