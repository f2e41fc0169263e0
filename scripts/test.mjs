// `npm test`: unit tests, then test/linux in namespaces of its own. Arguments choose files by a part of their path.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join, relative } from 'node:path'
import { namespaceProblem, runInNamespaces } from './namespaces.mjs'
import { ensurePackages, testPackages } from './packages.mjs'
import { fail, prepare, root } from './setup.mjs'

function testFiles(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) return testFiles(path)
      return entry.name.endsWith('.test.js') ? [path] : []
    })
    .sort()
}

/** `node --test` takes a folder or a pattern on some versions only; a list of files works on all. */
function testArguments(files, ...options) {
  return ['--enable-source-maps', '--test', '--test-reporter=spec', ...options, ...files]
}

prepare()
const dist = join(root, 'dist')
const parts = process.argv.slice(2)
const isChosen = (path) => parts.length === 0 || parts.some((part) => relative(dist, path).includes(part))
const files = testFiles(dist).filter(isChosen)
if (files.length === 0) fail(`No test file has ${parts.join(' or ')} in its path.`)
const isForKernel = (path) => relative(dist, path).startsWith('test/linux/')
const unitFiles = files.filter((path) => !isForKernel(path))
const kernelFiles = files.filter(isForKernel)

// As root, packages that cannot be installed are a failed set-up; an ordinary user may go on without them.
const packageProblem = await ensurePackages(testPackages)
if (packageProblem !== undefined && process.getuid() === 0) fail(packageProblem)

let isPassed = true
if (unitFiles.length > 0) {
  const { status } = spawnSync(process.execPath, testArguments(unitFiles), { cwd: root, stdio: 'inherit' })
  isPassed = status === 0
}
if (kernelFiles.length > 0) {
  const reason = packageProblem ?? namespaceProblem()
  if (reason === undefined) {
    // Mostly they wait. A lab has its namespaces for itself, so there are two of them.
    const halves = [0, 1]
      .map((half) => kernelFiles.filter((_, index) => index % 2 === half))
      .filter(({ length }) => length > 0)
    const runs = halves.map((half) => runInNamespaces(process.execPath, testArguments(half, '--test-concurrency=1')))
    isPassed = (await Promise.all(runs)).every((status) => status === 0) && isPassed
  } else {
    const names = kernelFiles.map((path) => relative(dist, path)).join(' ')
    console.error(`\nSKIPPED: ${kernelFiles.length} test files that need a real kernel: ${names}\n${reason}`)
  }
}
process.exitCode = isPassed ? 0 : 1
