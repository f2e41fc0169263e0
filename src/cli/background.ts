/** `-d`: the program starts itself again, detached, and waits until that process is ready or fails. */
import { spawn } from 'node:child_process'

/** Set in the environment of the detached process. */
const MARK = 'TCPCOPY_IN_BACKGROUND'

/** What the detached process tells its parent. */
export type BackgroundWord =
  /** @property text for the operator: where it runs and logs; @property warnings what it has warned of so far */
  { readonly ready: string; readonly warnings: string } | { readonly failed: string }

export function isInBackground(): boolean {
  return process.env[MARK] === '1'
}

/** @returns the exit status: 0 once the detached process is ready */
export function startInBackground(): Promise<number> {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, [MARK]: '1' }
  })
  return new Promise((resolve) => {
    child.once('message', (word: BackgroundWord) => {
      if ('failed' in word) process.stderr.write(word.failed)
      else {
        process.stdout.write(word.ready)
        process.stderr.write(word.warnings)
      }
      child.disconnect()
      child.unref()
      resolve('failed' in word ? 1 : 0)
    })
    child.once('exit', () => {
      process.stderr.write('the background process ended before it was ready\n  Run it without --daemon to see why.\n')
      resolve(1)
    })
  })
}

/** Tells the parent process, if there is one, and disconnects from it. */
export function tellParent(word: BackgroundWord): void {
  if (process.send === undefined || !isInBackground()) return
  process.send(word, () => process.disconnect())
}
