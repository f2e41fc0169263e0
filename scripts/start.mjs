// `npm start`: installs what is missing, builds, and runs the main job of lab/main.ts in namespaces of its own.
import { join } from 'node:path'
import { namespaceProblem, runInNamespaces } from './namespaces.mjs'
import { ensurePackages, startPackages } from './packages.mjs'
import { fail, prepare, root } from './setup.mjs'

prepare()
const problem = (await ensurePackages(startPackages)) ?? namespaceProblem()
if (problem !== undefined) fail(problem)
process.exitCode = await runInNamespaces(process.execPath, [
  join(root, 'dist', 'lab', 'main.js'),
  ...process.argv.slice(2)
])
