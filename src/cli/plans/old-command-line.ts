/** tcpcopy's command line before 1.0: arguments instead of options, with intercept on the target. */
import { OperatorError } from '../../errors.ts'
import { wholeFilter } from '../options/command.ts'
import type { CopyOptions } from './copy-command.ts'

/**
 * Translates `sourceIP[:sourceIP…] sourcePort targetIP targetPort` to today's options.
 * @param places the arguments of the command line that are not options
 * @throws OperatorError `bad-option`, `contradiction`
 */
export function withPlaces(options: CopyOptions, places: readonly string[]): CopyOptions {
  if (places.length === 0) return options
  if (options.map !== undefined && options.filter !== undefined) return wholeFilter(options, places)
  const [sources = '', sourcePort, target = '', targetPort] = places
  if (places.length !== 4) {
    const hint = 'Set what to copy with -x. The form before 1.0 is sourceIP[:sourceIP…] sourcePort targetIP targetPort.'
    throw new OperatorError('bad-option', `unexpected argument "${places.join(' ')}"`, hint)
  }
  if (options.map !== undefined) {
    const hint = 'Remove one of the two.'
    throw new OperatorError('contradiction', `--map cannot be used with the arguments "${places.join(' ')}"`, hint)
  }
  const map = sources.split(':').map((source) => `${source}:${sourcePort}-${target}:${targetPort}`)
  return { ...options, map, intercept: options.intercept ?? [target] }
}
