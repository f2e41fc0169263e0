/** `npm run bench`: runs the loads of loads.ts, inside the namespaces of scripts/bench.mjs. */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { chooseByName, Interrupted, interruption, positive, runCommand } from '../lab/hosts/command.ts'
import { OWN_PROGRAMS, type Programs, ROOT } from '../lab/hosts/copy-lab.ts'
import { Progress } from '../lab/job/progress.ts'
import { type BenchLoad, benchLoads } from './loads/loads.ts'
import { type Figures, measureRun } from './loads/measure.ts'
import { works } from './micro/works.ts'
import { document } from './report/document.ts'
import { type Done, type Fact, factText, medianFacts, type Work } from './report/facts.ts'
import { profileRun } from './report/profiled-run.ts'
import { header, medians, type Row, rowText } from './report/table.ts'

const usage = `npm run bench -- [--json] [--runs N] [--vs FOLDER] [--write] [NAME…]

Measures what a copy costs under each load, each in its own lab, and compares it with the bare loop of the runtime.
  --json        the results as JSON, the only thing on stdout
  --runs N      runs of each load, of which medians are taken (default 5)
  --vs FOLDER   also measures FOLDER/tcpcopy and FOLDER/intercept, in alternation, and prints
                the ratio of each figure with its 95 % interval
  --write       writes docs/benchmarks.md, with a profile of where the time goes
  NAME          runs only these:
${[...benchLoads, ...works].map(({ name, title }) => `    ${name.padEnd(22)} ${title}`).join('\n')}
`

interface Choice {
  readonly json: boolean
  readonly runs: number
  readonly other: Programs | undefined
  readonly write: boolean
  readonly loads: readonly BenchLoad[]
  readonly works: readonly Work[]
}

function readChoice(): Choice | undefined {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values, positionals } = parseArgs({
    options: { json: flag, help: { ...flag, short: 'h' }, runs: { ...text, default: '5' }, vs: text, write: flag },
    allowPositionals: true
  })
  if (values.help) return undefined
  const chosen: readonly object[] = chooseByName([...benchLoads, ...works], positionals)
  const folder = values.vs === undefined ? undefined : resolve(values.vs)
  return {
    json: values.json,
    runs: positive('--runs', values.runs),
    other: folder === undefined ? undefined : { tcpcopy: `${folder}/tcpcopy`, intercept: `${folder}/intercept` },
    write: values.write,
    loads: benchLoads.filter((load) => chosen.includes(load)),
    works: works.filter((work) => chosen.includes(work))
  }
}

/**
 * Runs our programs and the others in pairs, so that other work on the machine affects both. The first of a pair is
 * each in turn, since a run may leave the machine slower, or warmer, for the next one.
 */
async function measureLoad(
  load: BenchLoad,
  { runs, other }: Choice,
  progress: Progress,
  interrupted: Promise<never>
): Promise<Row> {
  const ours: Figures[] = []
  const theirs: Figures[] = []
  const measureOurs = async (run: number): Promise<void> => {
    progress.step(`${load.title}, run ${run} of ${runs}`)
    ours.push(await measureRun(load, { programs: OWN_PROGRAMS, hasFloor: other === undefined }, interrupted))
  }
  for (let run = 1; run <= runs; run++) {
    if (run % 2 === 1) await measureOurs(run)
    if (other !== undefined) {
      progress.step(`${load.title}, run ${run} of ${runs}, the others`)
      theirs.push(await measureRun(load, { programs: other, hasFloor: false }, interrupted))
    }
    if (run % 2 === 0) await measureOurs(run)
  }
  const { name, title } = load
  const others = other === undefined ? null : medians(theirs)
  return { name, title, ours: medians(ours), theirs: others, runs: ours, theirRuns: theirs }
}

/** Measures one item after the other. @returns the results of those that did not fail */
async function each<T extends { readonly title: string }, R>(
  kind: readonly T[],
  measure: (one: T, progress: Progress) => Promise<R>,
  show: (result: R) => string
): Promise<R[]> {
  const results: R[] = []
  for (const one of kind) {
    const progress = new Progress()
    try {
      const result = await measure(one, progress)
      progress.end()
      process.stdout.write(show(result))
      results.push(result)
    } catch (error) {
      progress.end()
      if (error instanceof Interrupted) throw error
      console.error(`${one.title}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  return results
}

async function measureWork(work: Work, runs: number, progress: Progress, interrupted: Promise<never>): Promise<Done> {
  const facts: (readonly Fact[])[] = []
  for (let run = 1; run <= runs; run++) {
    progress.step(`${work.title}, run ${run} of ${runs}`)
    facts.push(await Promise.race([work.measure(), interrupted]))
  }
  return { name: work.name, title: work.title, facts: medianFacts(facts) }
}

function doneText({ title, facts }: Done): string {
  const lines = facts.map((fact) => `  ${fact.what.padEnd(70)} ${factText(fact)}\n`)
  return `${title}\n${lines.join('')}`
}

async function run(choice: Choice): Promise<number> {
  const interrupted = interruption()
  const silent = (): string => ''
  if (!choice.json && choice.loads.length > 0) process.stdout.write(header())
  const rows = await each(
    choice.loads,
    (load, progress) => measureLoad(load, choice, progress, interrupted),
    choice.json ? silent : rowText
  )
  const done = await each(
    choice.works,
    (work, progress) => measureWork(work, choice.runs, progress, interrupted),
    choice.json ? silent : doneText
  )
  if (choice.json) process.stdout.write(`${JSON.stringify({ loads: rows, works: done }, undefined, 2)}\n`)
  if (choice.write) {
    const [first] = choice.loads
    const breakdown = first === undefined ? undefined : await profileRun(first, interrupted)
    writeFileSync(`${ROOT}docs/benchmarks.md`, document(rows, done, breakdown, choice.runs))
  }
  return rows.length + done.length === choice.loads.length + choice.works.length ? 0 : 1
}

await runCommand(usage, readChoice, run)
