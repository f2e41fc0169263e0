// `npm run bench:micro`: builds, and measures wire, core and intercept's loop alone.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { prepare, root } from './setup.mjs'

prepare()
const program = join(root, 'dist', 'bench', 'micro.js')
process.exitCode = spawnSync(process.execPath, [program, ...process.argv.slice(2)], { stdio: 'inherit' }).status ?? 1
