/** `npm run lossless`: runs every load of loads.ts in its own lab, inside the namespaces of scripts/lossless.mjs. */
import { parseArgs } from 'node:util'
import { chooseByName, Interrupted, interruption, runCommand } from './hosts/command.ts'
import { INTERCEPT, type Programs, TCPCOPY } from './hosts/copy-lab.ts'
import { Progress } from './job/progress.ts'
import { findProblems, type Load, runLoad } from './loads/load.ts'
import { loadHeader, loadRow, type Row } from './loads/load-report.ts'
import { loads } from './loads/loads.ts'

const usage = `npm run lossless -- [--json] [--tcpcopy PROGRAM] [--intercept PROGRAM] [NAME…]

Copies loads that are hard to copy, each in its own lab, and reports for each whether anything was lost.
  --json                   the results as JSON, the only thing on stdout
  --tcpcopy, --intercept   programs to use instead of those of this checkout
  NAME                     runs only these:
${loads.map(({ name, title }) => `    ${name.padEnd(22)} ${title}`).join('\n')}
`

interface Choice {
  readonly json: boolean
  readonly programs: Programs
  readonly loads: readonly Load[]
}

function readChoice(): Choice | undefined {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values, positionals } = parseArgs({
    options: { json: flag, help: { ...flag, short: 'h' }, tcpcopy: text, intercept: text },
    allowPositionals: true
  })
  if (values.help) return undefined
  return {
    json: values.json,
    programs: { tcpcopy: values.tcpcopy ?? TCPCOPY, intercept: values.intercept ?? INTERCEPT },
    loads: chooseByName(loads, positionals)
  }
}

/** The row of a load; the error of a load that did not run to its end is its problem. */
async function rowOf(load: Load, programs: Programs, progress: Progress, interrupted: Promise<never>): Promise<Row> {
  const { name, title, inC } = load
  try {
    const measured = await runLoad(load, programs, progress, interrupted)
    const problems = findProblems(load, measured)
    return { name, title, inC, ok: problems.length === 0, problems, measured }
  } catch (error) {
    if (error instanceof Interrupted) throw error
    const problem = error instanceof Error ? error.message : String(error)
    return { name, title, inC, ok: false, problems: [problem], measured: null }
  }
}

async function run(choice: Choice): Promise<number> {
  const progress = new Progress()
  const interrupted = interruption()
  const rows: Row[] = []
  if (!choice.json) process.stdout.write(loadHeader())
  for (const load of choice.loads) {
    const row = await rowOf(load, choice.programs, progress, interrupted)
    progress.end()
    rows.push(row)
    if (!choice.json) process.stdout.write(loadRow(row))
  }
  if (choice.json) process.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
  return rows.every(({ ok }) => ok) ? 0 : 1
}

await runCommand(usage, readChoice, run)
