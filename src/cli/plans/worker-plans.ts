/** The part of a program's plan that each worker gets. */
import type { CopyPlan } from './copy-plan.ts'
import type { InterceptPlan } from './intercept-plan.ts'

/** One worker's part of tcpcopy's plan: limits for the whole program are divided equally. */
export function partOfPlan(plan: CopyPlan): CopyPlan {
  const { workers, settings, capture } = plan
  const { poolBytes, sessionsMax, halfOpenMax, bytesPerSecondMax } = settings.limits
  const limits = {
    ...settings.limits,
    poolBytes: Math.floor(poolBytes / workers),
    sessionsMax: Math.floor(sessionsMax / workers),
    halfOpenMax: Math.floor(halfOpenMax / workers),
    bytesPerSecondMax: bytesPerSecondMax / workers
  }
  return {
    ...plan,
    settings: { ...settings, limits },
    capture: { ...capture, ringMegabytes: capture.ringMegabytes / workers }
  }
}

/** One worker's part of intercept's plan. */
export function partOfInterceptPlan(plan: InterceptPlan): InterceptPlan {
  const { workers, delayMax, routesMax, ringMegabytes } = plan
  return {
    ...plan,
    delayMax: Math.ceil(delayMax / workers),
    routesMax: Math.ceil(routesMax / workers),
    ringMegabytes: ringMegabytes / workers
  }
}
