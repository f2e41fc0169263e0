/** The table of the benchmark: medians of runs, a row for each load. */
import type { Figures } from '../loads/measure.ts'
import { median } from './facts.ts'
import { pairedRatio, ratioText } from './ratio.ts'

export interface Row {
  readonly name: string
  readonly title: string
  /** Medians of the runs. */
  readonly ours: Figures
  /** Of the programs of `--vs`. */
  readonly theirs: Figures | null
  readonly runs: readonly Figures[]
  /** Each of theirs was made right behind the run of ours with the same index. */
  readonly theirRuns: readonly Figures[]
}

type Cell = readonly [head: string, width: number, text: (figures: Figures) => string]

const TITLE_WIDTH = 44

/** The columns of the table, here and in docs/benchmarks.md. */
export const columns: readonly Cell[] = [
  ['rate/s', 8, ({ rate }) => whole(rate)],
  ['copy/s', 8, ({ copyRate }) => whole(copyRate)],
  ['tcpcopy µs', 10, ({ tcpcopyUs }) => tenths(tcpcopyUs)],
  ['intercept µs', 12, ({ interceptUs }) => tenths(interceptUs)],
  ['floor µs', 8, ({ floorUs }) => tenths(floorUs)],
  ['both/packet', 11, ({ packetUs }) => tenths(packetUs)],
  ['lost', 6, ({ lost }) => whole(lost)],
  ['p50 ms', 7, ({ delayP50Us }) => millis(delayP50Us)],
  ['p99 ms', 7, ({ delayP99Us }) => millis(delayP99Us)],
  ['RSS MB', 9, (figures) => `${whole(figures.tcpcopyMegabytes)} + ${whole(figures.interceptMegabytes)}`],
  ['channel B', 9, ({ channelBytes }) => tenths(channelBytes)]
]

export function header(): string {
  const cells = columns.map(([head, width]) => head.padStart(width)).join(' ')
  return `${'load'.padEnd(TITLE_WIDTH)} ${cells}\n`
}

export function rowText({ title, ours, theirs, runs, theirRuns }: Row): string {
  if (theirs === null) return line(title, ours) + idleLine(ours)
  const others = `${line('  the others', theirs)}${idleLine(theirs)}`
  return `${line(title, ours)}${idleLine(ours)}${others}${ratioLines(runs, theirRuns)}`
}

function line(title: string, figures: Figures): string {
  const cells = columns.map(([, width, text]) => text(figures).padStart(width)).join(' ')
  return `${title.padEnd(TITLE_WIDTH)} ${cells}\n`
}

function idleLine({ idleBytes }: Figures): string {
  return idleBytes === null ? '' : `  ${whole(idleBytes)} bytes of tcpcopy's memory for each idle session\n`
}

/** Figures whose ratios are printed. CPU is also that of both programs together. */
const COMPARED = ['copyRate', 'tcpcopyUs', 'interceptUs', 'packetUs', 'delayP50Us', 'delayP99Us'] as const
const MEMORY = ['tcpcopyMegabytes', 'interceptMegabytes'] as const

/** Our figures divided by theirs, pair by pair, each with its 95 % interval. */
function ratioLines(ours: readonly Figures[], theirs: readonly Figures[]): string {
  const valuesOf = (runs: readonly Figures[], name: keyof Figures): number[] =>
    runs.map((run) => run[name] ?? Number.NaN)
  return [...COMPARED, ...MEMORY]
    .map((name) => ({ name, ratio: pairedRatio(valuesOf(ours, name), valuesOf(theirs, name)) }))
    .map(({ name, ratio }) => (ratio === undefined ? '' : `  ours : theirs  ${name.padEnd(18)} ${ratioText(ratio)}\n`))
    .join('')
}

/** Medians of each figure, over the runs that have it. */
export function medians(runs: readonly Figures[]): Figures {
  const [first] = runs
  if (first === undefined) throw new Error('There is no run.')
  // as: all runs have the same keys.
  const names = Object.keys(first) as (keyof Figures)[]
  return Object.fromEntries(names.map((name) => [name, medianOf(runs, name)])) as unknown as Figures
}

function medianOf(runs: readonly Figures[], name: keyof Figures): number | null {
  const values = runs.map((run) => run[name]).filter((value) => value !== null)
  return values.length === 0 ? null : median(values)
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function tenths(value: number | null): string {
  return value === null ? '–' : value.toFixed(1)
}

function millis(valueUs: number | null): string {
  return valueUs === null ? '–' : (valueUs / 1000).toFixed(3)
}
