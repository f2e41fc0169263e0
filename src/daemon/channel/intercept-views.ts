/** What an intercept has seen of the targets, as it answered when it was asked. */
import type { InterceptView } from '../../doctor/evidence.ts'
import type { Findings } from '../../wire/channel/finding-records.ts'

/** An answer is used for so long, and what it reports must not be older. */
const RECENT_MS = 15_000

interface Answer {
  readonly address: number
  readonly port: number
  readonly findings: Findings
  readonly at: number
}

export class InterceptViews {
  /** At most one for each target that was asked for. */
  #answers: readonly Answer[] = []

  take({ address, port }: { readonly address: number; readonly port: number }, findings: Findings, now: number): void {
    const others = this.#answers.filter(
      (one) => now - one.at < RECENT_MS && (one.address !== address || one.port !== port)
    )
    this.#answers = [...others, { address, port, findings, at: now }]
  }

  of(target: { readonly address: number; readonly port: number }, now: number): InterceptView | undefined {
    const answer = this.#answers.find(({ address, port }) => address === target.address && port === target.port)
    if (answer === undefined || now - answer.at >= RECENT_MS || answer.findings.isIncomplete) return undefined
    const { findings } = answer
    return {
      routes: findings.routes,
      capturesAny: findings.capturedAgeMs < RECENT_MS,
      hasRouted: findings.routedAgeMs < RECENT_MS,
      hasUnrouted: findings.unroutedAgeMs < RECENT_MS,
      hasResets: findings.resetAgeMs < RECENT_MS,
      synAckTtl: findings.synAckTtl,
      resetTtl: findings.resetAgeMs < RECENT_MS ? findings.resetTtl : 0,
      forwards: findings.forwards
    }
  }
}

/** What several intercepts see together: any of them may get the answers. */
export function joinViews(views: readonly (InterceptView | undefined)[]): InterceptView | undefined {
  const known = views.filter((view) => view !== undefined)
  const [first] = known
  if (first === undefined || known.length < views.length) return undefined
  return known.reduce((joined, view) => ({
    routes: Math.max(joined.routes, view.routes),
    capturesAny: joined.capturesAny || view.capturesAny,
    hasRouted: joined.hasRouted || view.hasRouted,
    hasUnrouted: joined.hasUnrouted || view.hasUnrouted,
    hasResets: joined.hasResets || view.hasResets,
    synAckTtl: joined.synAckTtl || view.synAckTtl,
    resetTtl: joined.resetTtl || view.resetTtl,
    forwards: joined.forwards || view.forwards
  }))
}
