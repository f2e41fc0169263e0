/** Reports signs of loops to the operator. */
import { type LoopGuard, LoopSign } from '../../core/selection/loop-guard.ts'
import { formatAddress } from '../../wire/address.ts'
import type { Notices } from '../notices/notices.ts'

/** Warnings by sign. The field `client` is the address that showed it. */
const LOOP_WARNINGS = {
  [LoopSign.TargetIsClient]: 'a target is also a client: its connections are not copied',
  [LoopSign.CopyCameBack]: 'a copy came back as a new connection: it is not copied again',
  [LoopSign.RequestsReturn]: 'copies come back as requests of a client: it is not copied for 10 minutes'
} as const

export function reportLoops(loops: LoopGuard | undefined, notices: Notices): void {
  for (let notice = loops?.takeNotice(); notice !== undefined; notice = loops?.takeNotice()) {
    notices.add('warn', LOOP_WARNINGS[notice.sign], { client: formatAddress(notice.address) })
  }
}
