/** The comparison of what source and target received. */
import type { ClientStream, ClientStreams } from './pcap-streams.ts'

/** From a request at the source to its copy at the target, for connections that were not backlogged. */
export interface Delay {
  /** null if there is no such request. */
  readonly p50Us: number | null
  readonly p99Us: number | null
  readonly counted: number
}

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
    /** Connections of the source whose client bytes are the same at the target. */
    readonly equal: number
    /** Connections with as many requests on both sides, but different bytes. */
    readonly altered: number
  }
  /** Of requests before the load, and during it. */
  readonly delay: { readonly paced: Delay; readonly loaded: Delay }
}

/**
 * Compares what the target received with what the source received. Both captures must use the same clock.
 * @param loadStartUs start of the load, on the clock of the streams
 */
export function compareStreams(source: ClientStreams, target: ClientStreams, loadStartUs = 0): Comparison {
  let lost = 0
  let duplicated = 0
  let equal = 0
  let altered = 0
  const pacedUs: number[] = []
  const loadedUs: number[] = []
  for (const [key, original] of source.byConnection) {
    const copy = target.byConnection.get(key)
    const surplus = (copy?.requestTimesUs.length ?? 0) - original.requestTimesUs.length
    lost += Math.max(0, -surplus)
    duplicated += Math.max(0, surplus)
    if (copy === undefined) continue
    if (copy.byteCount === original.byteCount && copy.digest() === original.digest()) equal++
    else if (surplus === 0) altered++
    const isPaced = (original.requestTimesUs[0] ?? 0) < loadStartUs
    collectDelays(original, copy, isPaced ? pacedUs : loadedUs)
  }
  for (const [key, copy] of target.byConnection) {
    if (!source.byConnection.has(key)) duplicated += copy.requestTimesUs.length
  }
  return {
    requests: { source: source.requestCount, target: target.requestCount, lost, duplicated },
    connections: { source: source.byConnection.size, target: target.byConnection.size, equal, altered },
    delay: { paced: delayOf(pacedUs), loaded: delayOf(loadedUs) }
  }
}

/**
 * Collects the delays of requests without a backlog: all earlier requests of the connection were at the target before.
 * Otherwise the delay would include the backlog, which may be due to a slow target.
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

/** Quantiles of delays in microseconds. */
export function delayOf(delaysUs: readonly number[]): Delay {
  const sorted = Float64Array.from(delaysUs).sort()
  return { p50Us: quantile(sorted, 0.5), p99Us: quantile(sorted, 0.99), counted: sorted.length }
}

function quantile(sorted: Float64Array, share: number): number | null {
  return sorted[Math.ceil(share * sorted.length) - 1] ?? null
}
