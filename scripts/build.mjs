// Compiles everything into dist/. `--if-needed` does nothing when no source is newer than the last build.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stamp = join(root, 'dist', '.built')

function newest(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

const sources = ['src', 'lab', 'test', 'bench', 'tsconfig.json', 'package.json']
  .map((name) => join(root, name))
  .filter((path) => existsSync(path))
const isCurrent = existsSync(stamp) && Math.max(...sources.map(newest)) <= statSync(stamp).mtimeMs
if (!process.argv.includes('--if-needed') || !isCurrent) {
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const tsc = spawnSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc')], {
    cwd: root,
    stdio: 'inherit'
  })
  if (tsc.status !== 0) process.exit(1)
  writeFileSync(stamp, '')
}
