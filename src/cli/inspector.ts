/**
 * SIGUSR1 opens Node's inspector: a port on a production host through which anybody there may run code. The launchers in
 * bin/ take the signal before they load anything; one that came while Node itself still started is made good here.
 */
import inspector from 'node:inspector'

/** Closes the inspector, unless it was asked for on Node's own command line. */
export function closeInspector(): void {
  const isWanted = process.execArgv.some((argument) => argument.startsWith('--inspect'))
  if (!isWanted && inspector.url() !== undefined) inspector.close()
}
