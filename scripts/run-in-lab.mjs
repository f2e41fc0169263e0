// Runs a command of lab/ or bench/ in namespaces of its own, once all that it needs is there.
import { join } from 'node:path'
import { namespaceProblem, runInNamespaces } from './namespaces.mjs'
import { ensurePackages } from './packages.mjs'
import { fail, prepare, root } from './setup.mjs'

/** @param file the compiled one, in dist; it gets our arguments and we its exit code */
export async function runInLab(file, packages) {
  prepare()
  const problem = (await ensurePackages(packages)) ?? namespaceProblem()
  if (problem !== undefined) fail(problem)
  process.exitCode = await runInNamespaces(process.execPath, [join(root, 'dist', file), ...process.argv.slice(2)])
}
