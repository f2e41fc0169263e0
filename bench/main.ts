/** `npm run bench`: the loads of loads.ts, inside the namespaces of scripts/bench.mjs. */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Interrupted, interruption, positive, runCommand } from '../lab/command.ts'
import { OWN_PROGRAMS, type Programs, ROOT } from '../lab/copy-lab.ts'
import { Progress } from '../lab/progress.ts'
import { OperatorError } from '../src/errors.ts'
import { document } from './document.ts'
import { type BenchLoad, benchLoads } from './loads.ts'
import { type Figures, measureRun } from './measure.ts'
import { profileRun } from './profiled-run.ts'
import { header, medians, type Row, rowText } from './table.ts'

const usage = `npm run bench -- [--json] [--runs N] [--vs FOLDER] [--write] [NAME…]

Measures what a copy costs, under each load in a lab of its own, and beside it the bare loop of the runtime.
  --json        the results as JSON, the only thing on stdout
  --runs N      of each load; the medians count (default 5)
  --vs FOLDER   measures FOLDER/tcpcopy and FOLDER/intercept in turn with ours, and prints the ratios
  --write       writes docs/benchmarks.md, with a profile of where the time goes
  NAME          runs only these:
${benchLoads.map(({ name, title }) => `    ${name.padEnd(22)} ${title}`).join('\n')}
`

interface Choice {
  readonly json: boolean
  readonly runs: number
  readonly other: Programs | undefined
  readonly write: boolean
  readonly loads: readonly BenchLoad[]
}

function readChoice(): Choice | undefined {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values, positionals } = parseArgs({
    options: { json: flag, help: { ...flag, short: 'h' }, runs: { ...text, default: '5' }, vs: text, write: flag },
    allowPositionals: true
  })
  if (values.help) return undefined
  const unknown = positionals.find((name) => benchLoads.every((load) => load.name !== name))
  if (unknown !== undefined) {
    const names = benchLoads.map(({ name }) => name).join(', ')
    throw new OperatorError('lab-option', `There is no load ${unknown}.`, `Choose among: ${names}.`)
  }
  const folder = values.vs === undefined ? undefined : resolve(values.vs)
  return {
    json: values.json,
    runs: positive('--runs', values.runs),
    other: folder === undefined ? undefined : { tcpcopy: `${folder}/tcpcopy`, intercept: `${folder}/intercept` },
    write: values.write,
    loads: positionals.length === 0 ? benchLoads : benchLoads.filter(({ name }) => positionals.includes(name))
  }
}

/** Runs of ours and of the others in turn, A B A B, so that what the machine does besides meets both. */
async function measureLoad(
  load: BenchLoad,
  { runs, other }: Choice,
  progress: Progress,
  interrupted: Promise<never>
): Promise<Row> {
  const ours: Figures[] = []
  const theirs: Figures[] = []
  for (let run = 1; run <= runs; run++) {
    progress.step(`${load.title}, run ${run} of ${runs}`)
    ours.push(await measureRun(load, { programs: OWN_PROGRAMS, hasFloor: true }, interrupted))
    if (other === undefined) continue
    progress.step(`${load.title}, run ${run} of ${runs}, the others`)
    theirs.push(await measureRun(load, { programs: other, hasFloor: false }, interrupted))
  }
  const { name, title } = load
  return { name, title, ours: medians(ours), theirs: other === undefined ? null : medians(theirs), runs: ours }
}

async function run(choice: Choice): Promise<number> {
  const interrupted = interruption()
  const rows: Row[] = []
  if (!choice.json) process.stdout.write(header())
  let failed = 0
  for (const load of choice.loads) {
    const progress = new Progress()
    const row = await measureLoad(load, choice, progress, interrupted).catch((error: unknown) => {
      if (error instanceof Interrupted) throw error
      console.error(`${load.title}: ${error instanceof Error ? error.message : String(error)}`)
    })
    progress.end()
    if (row === undefined) {
      failed++
      continue
    }
    rows.push(row)
    if (!choice.json) process.stdout.write(rowText(row))
  }
  if (choice.json) process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
  if (choice.write) {
    const [first] = choice.loads
    const breakdown = first === undefined ? undefined : await profileRun(first, interrupted)
    writeFileSync(`${ROOT}docs/benchmarks.md`, document(rows, breakdown, choice.runs))
  }
  return failed === 0 ? 0 : 1
}

await runCommand(usage, async () => {
  const choice = readChoice()
  if (choice !== undefined) return await run(choice)
  process.stdout.write(usage)
  return 0
})
