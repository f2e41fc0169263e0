import type { ClientStream, ClientStreams } from './pcap-streams.ts'

export interface Comparison {
  readonly requests: {
    readonly source: number
    readonly target: number
    /** Missing at the target, summed over connections. */
    readonly lost: number
    /** At the target more than at the source, summed over connections. */
    readonly duplicated: number
  }
  readonly connections: {
    readonly source: number
    readonly target: number
    /** Of the source's, those whose client bytes at the target are the same. */
    readonly equal: number
    /** As many requests on both sides, but other bytes. */
    readonly altered: number
  }
  readonly delay: {
    /** null if no request could be counted. */
    readonly p50Us: number | null
    readonly p99Us: number | null
    /** Requests of connections that were not backlogged. */
    readonly counted: number
  }
}

/** What the target got of what the source got. Both captures' clocks must be one. */
export function compareStreams(source: ClientStreams, target: ClientStreams): Comparison {
  let lost = 0
  let duplicated = 0
  let equal = 0
  let altered = 0
  const delaysUs: number[] = []
  for (const [key, original] of source.byConnection) {
    const copy = target.byConnection.get(key)
    const surplus = (copy?.requestTimesUs.length ?? 0) - original.requestTimesUs.length
    lost += Math.max(0, -surplus)
    duplicated += Math.max(0, surplus)
    if (copy === undefined) continue
    if (copy.byteCount === original.byteCount && copy.digest() === original.digest()) equal++
    else if (surplus === 0) altered++
    collectDelays(original, copy, delaysUs)
  }
  for (const [key, copy] of target.byConnection) {
    if (!source.byConnection.has(key)) duplicated += copy.requestTimesUs.length
  }
  const sorted = Float64Array.from(delaysUs).sort()
  return {
    requests: { source: source.requestCount, target: target.requestCount, lost, duplicated },
    connections: { source: source.byConnection.size, target: target.byConnection.size, equal, altered },
    delay: { p50Us: quantile(sorted, 0.5), p99Us: quantile(sorted, 0.99), counted: sorted.length }
  }
}

/**
 * Not backlogged: when the request was captured at the source, all earlier ones of its connection were at the
 * target. Otherwise the delay would be that of the backlog, which the target's speed may cause.
 */
function collectDelays(original: ClientStream, copy: ClientStream, delaysUs: number[]): void {
  let previousCopyUs = Number.NEGATIVE_INFINITY
  for (const [index, originalUs] of original.requestTimesUs.entries()) {
    const copyUs = copy.requestTimesUs[index]
    if (copyUs === undefined) return
    if (previousCopyUs <= originalUs) delaysUs.push(copyUs - originalUs)
    previousCopyUs = copyUs
  }
}

function quantile(sorted: Float64Array, share: number): number | null {
  return sorted[Math.ceil(share * sorted.length) - 1] ?? null
}
