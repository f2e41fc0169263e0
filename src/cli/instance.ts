/** Keeps a program from doing the same work twice in one network namespace. */
import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { OperatorError } from '../errors.ts'
import { STANDARD_INPUT } from '../io/file/file-feed.ts'
import { claimName } from '../io/linux/system/claims.ts'
import { formatEndpoint } from '../wire/address.ts'
import type { CopyPlan } from './plans/copy-plan.ts'
import type { RecordPlan } from './plans/record-plan.ts'

/** Work that only one process may do. */
export interface Claim {
  /** What identifies the work. */
  readonly key: string
  /** The work, for the error: `another tcpcopy already …`. */
  readonly work: string
  readonly hint: string
}

/** Claims work until the process ends. @throws OperatorError `already-running` if another process does it */
export function claimAll(claims: readonly Claim[]): void {
  for (const { key, work, hint } of claims) {
    const name = `tcpcopy/${createHash('sha256').update(key).digest('hex')}`
    if (claimName(name) !== undefined) continue
    throw new OperatorError('already-running', `another tcpcopy already ${work}`, hint)
  }
}

/** Each `-x` with its `-f`: a second copy of it would send everything twice. */
export function copyClaims({ settings, isUdp, replay }: CopyPlan): readonly Claim[] {
  if (replay?.path === STANDARD_INPUT) return []
  const { maps, portShift } = settings.selection
  const path = replay === undefined ? undefined : realPath(replay.path)
  const work = path === undefined ? 'copies' : `replays ${path} as`
  return maps.map((map) => {
    const source = map.sourceAddress === 0 ? `${map.sourcePort}` : formatEndpoint(map.sourceAddress, map.sourcePort)
    const copy = `${source}-${formatEndpoint(map.targetAddress, map.targetPort)}`
    return {
      key: [isUdp ? 'udp' : 'tcp', path ?? '', copy, portShift].join(' '),
      work: `${work} ${copy} with --port-shift ${portShift}`,
      hint: 'Stop it first. To copy everything twice, give this one another --port-shift (-f).'
    }
  })
}

/** The file: a second recording would overwrite it. */
export function recordClaims({ path }: RecordPlan): readonly Claim[] {
  const file = realPath(path)
  return [{ key: `record ${file}`, work: `records to ${file}`, hint: 'Stop it first, or use another --output (-o).' }]
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path) // It does not exist yet.
  }
}
