/** tcpcopy's command line of before 1.0: places instead of options, and intercept on the target itself. */
import { OperatorError } from '../../errors.ts'
import type { CopyOptions } from './copy-command.ts'

/**
 * What `sourceIP[:sourceIP…] sourcePort targetIP targetPort` means in today's options.
 * @param places the words of the command line that belong to no option
 * @throws OperatorError `bad-option`, `contradiction`
 */
export function withPlaces(options: CopyOptions, places: readonly string[]): CopyOptions {
  if (places.length === 0) return options
  const [sources = '', sourcePort, target = '', targetPort] = places
  if (places.length !== 4) {
    const hint =
      'Say what to copy where with -x; before 1.0 it was: sourceIP[:sourceIP…] sourcePort targetIP targetPort.'
    throw new OperatorError('bad-option', `the argument "${places.join(' ')}" belongs to no option`, hint)
  }
  if (options.map !== undefined) {
    const hint = 'Give one of the two.'
    throw new OperatorError('contradiction', `--map and "${places.join(' ')}" both say what to copy`, hint)
  }
  const map = sources.split(':').map((source) => `${source}:${sourcePort}-${target}:${targetPort}`)
  return { ...options, map, intercept: options.intercept ?? [target] }
}
