/** The system's clocks. */
import { performance } from 'node:perf_hooks'
import type { Clock, Millis } from '../../../ports.ts'
import { int32At } from '../../../wire/bytes.ts'
import { clockGettime } from './libc.ts'
import { allocate } from './memory.ts'

const CLOCK_REALTIME = 0
const timespec = allocate(16)

/** CLOCK_MONOTONIC, in milliseconds since the thread started. */
export const monotonic: Clock = {
  now: () => performance.now(),

  epoch(): Millis {
    const before = performance.now()
    clockGettime(CLOCK_REALTIME, timespec.address)
    const after = performance.now()
    const { words } = timespec
    const seconds = int32At(words, 0) >>> 0
    return seconds * 1000 + int32At(words, 2) / 1e6 - (before + after) / 2
  }
}
