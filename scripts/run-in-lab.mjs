// Runs a command of lab/ in namespaces of its own, once all that it needs is there.
import { join } from 'node:path'
import { namespaceProblem, runInNamespaces } from './namespaces.mjs'
import { ensurePackages } from './packages.mjs'
import { fail, prepare, root } from './setup.mjs'

/** @param name of the compiled file in dist/lab; it gets our arguments and we its exit code */
export async function runInLab(name, packages) {
  prepare()
  const problem = (await ensurePackages(packages)) ?? namespaceProblem()
  if (problem !== undefined) fail(problem)
  process.exitCode = await runInNamespaces(process.execPath, [
    join(root, 'dist', 'lab', name),
    ...process.argv.slice(2)
  ])
}
