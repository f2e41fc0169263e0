/** Reads `--workers`. */
import { availableParallelism } from 'node:os'
import { OperatorError } from '../../errors.ts'
import { badValue } from './values.ts'

export const COPY_WORKERS_MAX = 64
/** Every pair of workers needs two rings. */
export const INTERCEPT_WORKERS_MAX = 16

/** For `readWorkers`: what only one thread can read with `--single`. */
export const SINGLE_ALONE = 'the answers of --single'

/**
 * @param text the value of `--workers`
 * @param only what only one thread can read, in words; undefined if there is no such thing
 * @throws OperatorError `bad-value`, `contradiction`
 */
export function readWorkers(text: string, max: number, only: string | undefined): number {
  const isAuto = text === 'auto'
  const count = isAuto ? Math.min(availableParallelism(), max) : /^\d{1,2}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > max) throw badValue('--workers', text, `a number from 1 to ${max}, or auto`)
  if (only === undefined) return count
  if (!isAuto && count > 1) {
    const hint = 'Remove --workers.'
    throw new OperatorError(
      'contradiction',
      `--workers ${count} cannot be used: only one thread can read ${only}`,
      hint
    )
  }
  return 1
}
