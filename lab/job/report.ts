/** The results of the main job, and their table. */
import { counter, type LogEntry } from '../hosts/json-log.ts'
import type { Comparison, Delay } from './comparison.ts'

/** What the main job measured. Counts that a program did not report are null. */
export interface Measured extends Comparison {
  /** By redis itself (INFO commandstats), independent of the captures. */
  readonly redisCommands: { readonly source: number; readonly target: number }
  /** Whether redis' digest of all keys and values is the same on both hosts. */
  readonly dataDigestsEqual: boolean
  /** User and system time of the process, divided by the source's requests. */
  readonly cpuUsPerRequest: { readonly tcpcopy: number; readonly intercept: number }
  /** At the source: on kept connections, and with a connection for each request. */
  readonly requestsPerSecond: { readonly kept: number; readonly short: number }
  readonly captureDropped: {
    readonly tcpcopy: number | null
    readonly intercept: number | null
    readonly sourceTcpdump: number
    readonly targetTcpdump: number
  }
  /** Captured streams with a hole, on both hosts. */
  readonly captureHoles: number
  /** Captured segments of connections whose SYN was not captured. */
  readonly captureStrays: number
  readonly startupMs: number
  readonly exitStatus: { readonly tcpcopy: number | null; readonly intercept: number | null }
  /** The programs' own last statistics. */
  readonly statistics: { readonly tcpcopy: LogEntry | null; readonly intercept: LogEntry | null }
}

export interface Report extends Measured {
  readonly ok: boolean
  /** Sentences; empty if the copy is right. */
  readonly problems: readonly string[]
}

/** The report as text: a table, then the verdict. */
export function printTable(report: Report): string {
  const { requests, connections, redisCommands, delay, cpuUsPerRequest, requestsPerSecond, captureDropped } = report
  const sides = (source: number, target: number) => `${count(source).padStart(12)}${count(target).padStart(12)}`
  const rows = [
    ['', `${'source'.padStart(12)}${'target'.padStart(12)}`],
    ['requests (captures)', sides(requests.source, requests.target)],
    ['requests (redis)', sides(redisCommands.source, redisCommands.target)],
    ['requests (tcpcopy)', requestsText(report.statistics.tcpcopy ?? undefined)],
    ['connections', sides(connections.source, connections.target)],
    ['difference', `${count(requests.lost)} lost, ${count(requests.duplicated)} duplicated`],
    ['same client bytes', `on ${count(connections.equal)} of ${count(connections.source)} connections`],
    ['data set', report.dataDigestsEqual ? 'the same on both' : 'different'],
    ['delay of the copy', `${delayText(delay.paced)} (${count(delay.paced.counted)} requests, one every ms)`],
    ['the same under load', `${delayText(delay.loaded)} (${count(delay.loaded.counted)} requests not backlogged)`],
    ['CPU per request', `tcpcopy ${micros(cpuUsPerRequest.tcpcopy)}, intercept ${micros(cpuUsPerRequest.intercept)}`],
    ['rate', `${count(requestsPerSecond.kept)}/s, with a connection each ${count(requestsPerSecond.short)}/s`],
    ['dropped in capture', droppedText(captureDropped)],
    ['start-up of tcpcopy', `${count(report.startupMs)} ms`]
  ]
  const table = rows.map(([name, value]) => `${name?.padEnd(22)}${value}`).join('\n')
  const verdict = report.ok
    ? 'OK: nothing lost, duplicated or altered; redis agrees with the captures.'
    : `FAILED:\n${report.problems.map((problem) => `- ${problem}`).join('\n')}`
  return `${table}\n\n${verdict}\n`
}

/** The books of requests: `104,006 captured: 104,006 answered, 0 late, 0 not awaited, 0 lost`. */
function requestsText(statistics: LogEntry | undefined): string {
  const of = (name: string): number | null => counter(statistics, `requests${name}`)
  const lost = [of('NotAnswered'), of('GivenUp')].reduce(
    (sum, one) => (sum === null || one === null ? null : sum + one),
    0
  )
  const late = `${count(of('AnsweredLate'))} late, ${count(of('NotAwaited'))} not awaited`
  const others = `${count(of('LeftOut'))} left out, ${count(of('AtStop'))} at the stop`
  return `${count(of('Captured'))} captured: ${count(of('Answered'))} answered, ${late}, ${others}, ${count(lost)} lost`
}

function delayText({ p50Us, p99Us }: Delay): string {
  return p50Us === null || p99Us === null ? 'unknown' : `p50 ${millis(p50Us)}, p99 ${millis(p99Us)}`
}

function droppedText(dropped: Measured['captureDropped']): string {
  const tcpdump = `tcpdump ${count(dropped.sourceTcpdump)} at source, ${count(dropped.targetTcpdump)} at target`
  return `tcpcopy ${count(dropped.tcpcopy)}, intercept ${count(dropped.intercept)}, ${tcpdump}`
}

function count(value: number | null): string {
  return value === null ? 'unknown' : Math.round(value).toLocaleString('en')
}

function micros(value: number): string {
  return `${value.toFixed(1)} µs`
}

function millis(valueUs: number): string {
  return `${(valueUs / 1000).toFixed(3)} ms`
}
