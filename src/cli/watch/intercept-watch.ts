/** Reads what intercept's main thread watches once a second: the counters of all workers, and whether the host forwards. */
import { TargetFindings } from '../../core/assistant/target-findings.ts'
import { InterceptCounter, type InterceptCounters } from '../../core/books/intercept-counters.ts'
import { InterceptWatch } from '../../daemon/interceptor/intercept-watch.ts'
import { Notices } from '../../daemon/notices/notices.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import type { Log } from '../../ports.ts'
import { forwardingOf, type InterceptPlan } from '../plans/intercept-plan.ts'

/** Time between two readings of the settings that make this host forward. */
const FORWARDING_MS = 5000

/** Watches the workers together. @returns to be called once a second */
export function interceptWatch(
  plan: InterceptPlan,
  counters: () => InterceptCounters,
  findings: Int32Array | undefined
): (log: Log) => void {
  const notices = new Notices()
  const devices = plan.queue === undefined ? plan.devices.join(', ') || 'any device' : `queue ${plan.queue.queue}`
  const watch = new InterceptWatch({ devices, filter: plan.filter, port: plan.port }, notices)
  const told = findings === undefined ? undefined : new TargetFindings({ words: findings, clockMs: 0 })
  let forwarding: readonly string[] = []
  let readAt = Number.NEGATIVE_INFINITY
  return (log) => {
    const now = monotonic.now()
    const total = counters()
    if (now - readAt >= FORWARDING_MS) {
      forwarding = forwardingOf(plan)
      readAt = now
    }
    if (told !== undefined) told.forwards = forwarding.length > 0
    const reading = {
      capturedPackets: total.get(InterceptCounter.capturedPackets),
      captureDropped: total.get(InterceptCounter.captureDropped),
      routesAnnounced: total.get(InterceptCounter.routesAnnounced),
      routes: total.get(InterceptCounter.routes),
      peersAccepted: total.get(InterceptCounter.peersAccepted),
      peersOpen: total.get(InterceptCounter.peersOpen),
      forwarding
    }
    watch.check(reading, now)
    notices.drain(log, now)
  }
}
