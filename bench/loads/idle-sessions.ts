/** What sessions hold that have nothing to do. */
import { Rig } from '../micro/rig.ts'

export interface IdleSessions {
  /** Objects, typed arrays and tables of all, divided by their number. */
  readonly octetsEach: number
  readonly heapEach: number
  /** It holds them. */
  readonly rig: Rig
}

/** Where `--expose-gc` is not given, the figures hold garbage as well. */
function usedOctets(): NodeJS.MemoryUsage {
  for (let round = 0; round < 3; round++) globalThis.gc?.()
  return process.memoryUsage()
}

/** Opens sessions that are idle after one request and its answer. */
export function idleSessions(count: number): IdleSessions {
  const rig = new Rig(0, 64, 5)
  const before = usedOctets()
  rig.openIdle(count)
  const after = usedOctets()
  const heap = after.heapUsed - before.heapUsed
  return { octetsEach: (heap + after.external - before.external) / count, heapEach: heap / count, rig }
}
