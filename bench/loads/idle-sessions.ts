/** The memory of idle sessions. */
import { Rig } from '../micro/rig.ts'

export interface IdleSessions {
  /** Objects, typed arrays and tables of all sessions, divided by their number. */
  readonly bytesEach: number
  readonly heapEach: number
  /** Has the sessions. */
  readonly rig: Rig
}

/** Without `--expose-gc` the figures include garbage. */
function usedMemory(): NodeJS.MemoryUsage {
  for (let round = 0; round < 3; round++) globalThis.gc?.()
  return process.memoryUsage()
}

/** Opens sessions, each idle after one request and its answer. */
export function idleSessions(count: number): IdleSessions {
  const rig = new Rig(0, 64, 5)
  const before = usedMemory()
  rig.openIdle(count)
  const after = usedMemory()
  const heap = after.heapUsed - before.heapUsed
  return { bytesEach: (heap + after.external - before.external) / count, heapEach: heap / count, rig }
}
