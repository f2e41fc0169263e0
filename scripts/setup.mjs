// What `npm start` and `npm test` need before anything else. Everything it prints goes to stderr.
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

const nodeMajorMin = 20

/** An end that needs no stack trace: the message says what happened and what to do. */
export function fail(message) {
  console.error(message)
  process.exit(1)
}

/** Runs a program with its output on stderr, so that stdout holds nothing but the result. */
function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] })
  if (error) fail(`${command} could not be started: ${error.message}`)
  return status === 0
}

function installDependencies() {
  // npm writes this file last, so an installation that was interrupted is repeated.
  const installed = join(root, 'node_modules', '.package-lock.json')
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs) return
  console.error('Installing the dependencies from package-lock.json (npm ci)…')
  const npm = process.env.npm_execpath
  const args = ['ci', '--no-audit', '--no-fund']
  // The npm that started us: PATH may hold another one, or none.
  const isDone = npm?.endsWith('.js') ? run(process.execPath, [npm, ...args]) : run('npm', args)
  if (!isDone) fail('npm ci failed; its messages are above. Is the registry reachable?')
}

/** The right Node, the locked dependencies, a current build. Ends the process if one cannot be had. */
export function prepare() {
  if (Number(process.versions.node.split('.')[0]) < nodeMajorMin) {
    fail(`Node.js ${nodeMajorMin} or newer is needed; this is ${process.version} (${process.execPath}).`)
  }
  if (process.platform !== 'linux') fail(`Linux is needed; this is ${process.platform}.`)
  installDependencies()
  if (!run(process.execPath, [join(root, 'scripts', 'build.mjs'), '--if-needed'])) {
    fail('The build failed; its messages are above.')
  }
}
