/** How many workers tcpcopy has, and what of its plan each of them may have. */
import { availableParallelism } from 'node:os'
import { OperatorError } from '../errors.ts'
import type { CopyPlan } from './copy-plan.ts'
import { badValue } from './values.ts'

const WORKERS_MAX = 64

/** @param text of `--workers` @param isReplay a file is copied @throws OperatorError for what cannot be */
export function readWorkers(text: string, isReplay: boolean): number {
  const isAuto = text === 'auto'
  const count = isAuto ? Math.min(availableParallelism(), WORKERS_MAX) : /^\d{1,2}$/.test(text) ? Number(text) : 0
  if (count < 1 || count > WORKERS_MAX) throw badValue('--workers', text, `a number from 1 to ${WORKERS_MAX}, or auto`)
  if (!isReplay) return count
  if (!isAuto && count > 1) {
    const hint = 'Leave --workers out: a file is read by one thread.'
    throw new OperatorError('contradiction', '--workers is for live traffic, and -i names a file', hint)
  }
  return 1
}

/** One worker's part: what is limited for all is shared equally. */
export function partOfPlan(plan: CopyPlan): CopyPlan {
  const { workers, poolBytes, sessionsMax, ringMegabytes, bytesPerSecondMax } = plan
  return {
    ...plan,
    poolBytes: Math.floor(poolBytes / workers),
    sessionsMax: Math.floor(sessionsMax / workers),
    ringMegabytes: ringMegabytes / workers,
    bytesPerSecondMax: bytesPerSecondMax / workers
  }
}
