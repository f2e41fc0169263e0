/**
 * SIGUSR1 opens Node's inspector, a port through which any local user can run code. The launchers in bin/ ignore the
 * signal before they load anything; this closes an inspector that was opened while Node itself started.
 */
import inspector from 'node:inspector'

/** Closes the inspector, unless Node's command line requested it. */
export function closeInspector(): void {
  const isWanted = process.execArgv.some((argument) => argument.startsWith('--inspect'))
  if (!isWanted && inspector.url() !== undefined) inspector.close()
}
