/** docs/benchmarks.md, as the benchmark writes it. */
import { readFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { type Done, factText } from './facts.ts'
import { type Goal, goals, isReached } from './goals.ts'
import type { Breakdown } from './profile.ts'
import { columns, type Row } from './table.ts'

/** dist/bench/report/document.js → bench/micro.json of the checkout. */
const microFile = new URL('../../../bench/micro.json', import.meta.url)
const CORE_WORK = 'a request of 64 octets and its answer through a session'

export function document(
  rows: readonly Row[],
  done: readonly Done[],
  breakdown: Breakdown | undefined,
  runs: number
): string {
  const parts = [
    opening(runs),
    table(rows),
    factTable(done),
    goalTable(rows, done),
    breakdown === undefined ? '' : timeTable(breakdown),
    notes
  ]
  return parts.join('\n')
}

function opening(runs: number): string {
  const [cpu] = cpus()
  const machine = `${cpu?.model ?? 'unknown CPU'}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GB`
  const load = loadavg().map((value) => value.toFixed(1))
  return `# Benchmarks

Written by \`npm run bench -- --write\`; do not edit. \`npm run bench -- --help\` lists the options.

- Machine: ${machine}; Linux ${release()}, Node.js ${process.version}.
  All hosts of the lab, the clients and both servers share it.
- Figures are medians of ${runs} ${runs === 1 ? 'run' : 'runs'}, each in a lab of its own.
  Load average at the end, including the benchmark itself: ${load.join(', ')}.

## Loads
`
}

function table(rows: readonly Row[]): string {
  const heads = ['load', ...columns.map(([head]) => head)]
  const lines = rows.map(({ title, ours }) => [title, ...columns.map(([, , text]) => text(ours))])
  return markdown([heads, ...lines])
}

function factTable(done: readonly Done[]): string {
  const lines = done.flatMap(({ title, facts }) => facts.map((fact) => [title, fact.what, factText(fact)]))
  return `## Files and the firewall queue\n\n${markdown([['measurement', 'figure', 'result'], ...lines])}`
}

function goalTable(rows: readonly Row[], done: readonly Done[]): string {
  const load = (name: string) => rows.find((row) => row.name === name)?.ours
  const facts = done.flatMap((one) => one.facts)
  const factOf = (name: string) => facts.find((fact) => fact.name === name)?.value
  const lines = goals.map((goal) => {
    const value = goal.value(load, factOf)
    const verdict = value === null ? 'not measured' : isReached(goal, value) ? 'reached' : 'missed'
    return [goal.what, goal.inC, limit(goal), value === null ? '–' : amount(goal, value), verdict]
  })
  const heads = ['figure', 'C 1.3.0', 'goal', 'measured', 'verdict']
  return `## Goals\n\n${markdown([heads, ...lines, coreLine()])}`
}

/** Of the last change, as `npm run bench:micro -- --write` left it. */
function coreLine(): string[] {
  // as: bench/micro.ts wrote it.
  const figures = JSON.parse(readFileSync(microFile, 'utf8')) as Readonly<Record<string, { readonly ns: number }>>
  const us = (figures[CORE_WORK]?.ns ?? Number.NaN) / 1000
  const verdict = us <= 1 ? 'reached' : 'missed'
  const what = `core alone (bench/micro.json): ${CORE_WORK.replace('octets', 'bytes')}`
  return [what, '', 'at most 1 µs', `${us.toFixed(2)} µs`, verdict]
}

function limit(goal: Goal): string {
  const { most, least } = goal
  if (most !== undefined) return `at most ${amount(goal, most)}`
  return least === undefined ? '' : `at least ${amount(goal, least)}`
}

function amount({ unit, digits }: Goal, value: number): string {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits }
  return `${value.toLocaleString('en', options)} ${unit}`.trim()
}

function timeTable({ waiting, parts, functions }: Breakdown): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`
  return `## Where the time goes

tcpcopy's packet thread under Node's profiler, with the first load above. It waited ${percent(waiting)} of the time
(including the cost of waiting). The rest:

${markdown([['part', 'share'], ...parts.map(({ name, share }) => [name, percent(share)])])}
The most expensive functions, including the system calls they make:

${markdown([
  ['function', 'part', 'share'],
  ...functions.map(({ name, part, share }) => [`\`${name}\``, part, percent(share)])
])}`
}

function markdown([heads = [], ...lines]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`
  return [line(heads), line(heads.map(() => '---')), ...lines.map(line)].join('')
}

const notes = `
## What the figures mean

- **rate, copy**: requests per second that the source served; the same at the target, until it had the last one.
- **µs**: user and system time of the process, main thread included, in the measured part of the run, divided by the
  requests of the source. A warm-up is not counted. The kernel charges work in interrupts to the process that it
  interrupts, so sending in tcpcopy includes a good part of the target's receiving.
- **network in separate threads**: on one machine, the bridge of the lab and the receiver's kernel, up to its sockets, run
  in an interrupt of the process that sent the packet, and count for that program. In these rows kernel threads (NAPI
  threads) do that work, as another machine would, so µs is what a program itself costs. The total cost is higher, and
  rates are lower.
- **floor**: a bare loop instead of tcpcopy, with the same ring, filter, poller and sender, that sends each packet as it
  arrived. The target drops these packets at once, so its receiving is not included.
- **both/packet**: µs of both programs per packet that the client sent.
- **lost**: requests that the source served and the target did not.
- **p50, p99**: time from a client's packet at the source to its copy at the target. Under load, measured on an additional
  connection with a request every millisecond. If client, servers and programs need more cores than the machine has, this
  is the time that a program waits for its turn.
- **RSS**: peak memory of tcpcopy and of intercept.
- **channel**: bytes that tcpcopy received from intercept per response.
`
