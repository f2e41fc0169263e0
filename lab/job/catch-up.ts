/** Waiting for a copy to catch up. */
import { setTimeout as sleep } from 'node:timers/promises'

const POLL_MS = 100

/**
 * Waits until a count reaches the expected value, or has not changed for `patienceMs`.
 * @param onCount is called with each new count
 * @returns the last count
 */
export async function awaitCatchUp(
  count: () => Promise<number>,
  expected: number,
  patienceMs: number,
  onCount: (count: number) => void = () => {},
  pollMs = POLL_MS
): Promise<number> {
  let reached = await count()
  let movedMs = performance.now()
  while (reached < expected && performance.now() - movedMs < patienceMs) {
    await sleep(pollMs)
    const now = await count()
    if (now === reached) continue
    movedMs = performance.now()
    reached = now
    onCount(reached)
  }
  return reached
}
