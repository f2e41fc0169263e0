import type { Clock } from '../ports.ts'

/** CLOCK_MONOTONIC, in milliseconds. */
export const monotonic: Clock = { now: () => performance.now() }
