/** The main job of `npm start`, inside the namespaces that scripts/start.mjs makes. */
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { OperatorError } from '../src/errors.ts'
import { type JobOptions, openJobLab, runMainJob } from './main-job.ts'
import { Progress } from './progress.ts'
import { printTable } from './report.ts'

const usage = `npm start -- [--json] [--requests N] [--connections N] [--short-requests N] [--offloads]
             [--captures FOLDER] [--tcpcopy PROGRAM] [--intercept PROGRAM]

Copies real redis traffic between four hosts made of network namespaces and checks the copy byte by byte.
  --json              the result as JSON, the only thing on stdout
  --requests          on connections that are kept (default 100000)
  --connections       that are kept (default 50)
  --short-requests    on a connection each (default 3000)
  --offloads          leaves segmentation offloads on: packets of up to 64 KB
  --captures          keeps the captures of source and target in this folder
  --tcpcopy, --intercept   other programs than those of this checkout
`

interface Choice extends Omit<JobOptions, 'folder'> {
  readonly json: boolean
  readonly captures: string | undefined
}

class Interrupted extends Error {
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted by ${signal}.`)
    this.signal = signal
  }
}

function readChoice(): Choice | undefined {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean', default: false } as const
  const { values } = parseArgs({
    options: {
      json: flag,
      help: { ...flag, short: 'h' },
      offloads: flag,
      requests: { ...text, default: '100000' },
      connections: { ...text, default: '50' },
      'short-requests': { ...text, default: '3000' },
      captures: text,
      tcpcopy: text,
      intercept: text
    }
  })
  if (values.help) return undefined
  return {
    json: values.json,
    offloads: values.offloads,
    requests: positive('--requests', values.requests),
    connections: positive('--connections', values.connections),
    shortRequests: positive('--short-requests', values['short-requests']),
    captures: values.captures,
    tcpcopy: values.tcpcopy,
    intercept: values.intercept
  }
}

function positive(name: string, value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value)
  throw new OperatorError('lab-option', `${name} is ${value}.`, 'Give a whole number from 1 on.')
}

/** Rejects at the first signal; later ones change nothing, the lab is being closed. */
function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Interrupted(signal)))
  })
}

/** Inside the namespaces the folder for temporary files is private and vanishes with them. */
function workFolder(captures: string | undefined): string {
  if (captures === undefined) return mkdtempSync(join(tmpdir(), 'main-job-'))
  // Not `recursive`: below /proc, Node.js 20 then never returns.
  if (!existsSync(captures)) mkdirSync(captures)
  return resolve(captures)
}

async function run(choice: Choice): Promise<number> {
  const progress = new Progress()
  const interrupted = interruption()
  const opening = openJobLab(choice.offloads)
  try {
    const lab = await Promise.race([opening, interrupted])
    const options = { ...choice, folder: workFolder(choice.captures) }
    const report = await Promise.race([runMainJob(lab, options, progress), interrupted])
    progress.end()
    process.stdout.write(choice.json ? `${JSON.stringify(report, undefined, 2)}\n` : printTable(report))
    return report.ok ? 0 : 1
  } finally {
    progress.end()
    await (await opening).close()
  }
}

function explain(error: unknown): number {
  if (error instanceof Interrupted) {
    console.error(error.message)
    return 128 + constants.signals[error.signal]
  }
  const isOptionError = error instanceof TypeError && 'code' in error && `${error.code}`.startsWith('ERR_PARSE_ARGS')
  if (isOptionError) console.error(`${error.message}\n\n${usage}`)
  else if (error instanceof OperatorError) console.error(`${error.message}\n${error.hint}`)
  else console.error(error instanceof Error ? error.message : error)
  return 1
}

try {
  const choice = readChoice()
  if (choice === undefined) process.stdout.write(usage)
  else process.exitCode = await run(choice)
} catch (error) {
  process.exitCode = explain(error)
}
