/** The results of loads as a table. */
import { counter, type LogEntry } from '../hosts/json-log.ts'
import type { Measured } from './load.ts'

export interface Row {
  readonly name: string
  readonly title: string
  readonly inC: string
  readonly ok: boolean
  /** Sentences; empty if nothing is wrong. */
  readonly problems: readonly string[]
  /** null if the load did not run to its end. */
  readonly measured: Measured | null
}

const widths = [62, 15, 44] as const
/** Counters of tcpcopy that show losses and repairs. */
const telling = [
  'captureDropped',
  'retransmissions',
  'epochTimeouts',
  'sendRefused',
  'refusals',
  'sessionsContinued',
  'sessionsReset',
  'sessionsTimedOut',
  'sessionsWaited',
  'copiesRefused',
  'copiesMoved'
]

export function loadHeader(): string {
  return `${line('load', 'C 1.3.0', 'measured', 'verdict')}${'-'.repeat(130)}\n`
}

export function loadRow(row: Row): string {
  const { title, inC, ok, problems, measured } = row
  const [first, ...more] = measured === null ? ['not measured'] : texts(measured)
  const verdict = ok ? 'ok' : 'FAILED'
  return [
    line(title, inC, first ?? '', verdict),
    ...more.map((text) => line('', '', text, '')),
    ...problems.map((problem) => `    ${problem.replaceAll('\n', '\n    ')}\n`)
  ].join('')
}

function line(...cells: readonly string[]): string {
  return `${cells
    .map((cell, index) => cell.padEnd(widths[index] ?? 0))
    .join(' ')
    .trimEnd()}\n`
}

function texts(measured: Measured): string[] {
  const { rounds, peakMegabytes, cpuUsPerRequest, statistics } = measured
  return [
    ...rounds.map(
      ({ source, target, copySeconds }) => `${count(target)} of ${count(source)} in ${copySeconds.toFixed(1)} s`
    ),
    `RSS ${peakMegabytes.tcpcopy.toFixed(0)} MB, CPU ${cpuUsPerRequest.tcpcopy.toFixed(1)} + ${cpuUsPerRequest.intercept.toFixed(1)} µs`,
    ...countersOf('tcpcopy', statistics.tcpcopy, telling),
    ...countersOf('intercept', statistics.intercept, [
      'captureDropped',
      'backlogDropped',
      'delayedLost',
      'unroutedHeaders'
    ])
  ]
}

/** The counters that are not 0, one in each line. */
function countersOf(program: string, statistics: LogEntry, names: readonly string[]): string[] {
  return names
    .filter((name) => (counter(statistics, name) ?? 0) !== 0)
    .map((name) => `${program} ${name} ${count(counter(statistics, name))}`)
}

function count(value: number | null): string {
  return value === null ? 'unknown' : Math.round(value).toLocaleString('en')
}
