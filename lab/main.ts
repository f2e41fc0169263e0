/** `npm start`: the main job, inside the namespaces of scripts/start.mjs. */
import { existsSync, mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { interruption, positive, runCommand } from './hosts/command.ts'
import { INTERCEPT, openCopyLab, type Programs, TCPCOPY } from './hosts/copy-lab.ts'
import { type JobOptions, runMainJob } from './job/main-job.ts'
import { Progress } from './job/progress.ts'
import { printTable } from './job/report.ts'

const usage = `npm start -- [--json] [--requests N] [--connections N] [--short-requests N] [--offloads]
             [--captures FOLDER] [--tcpcopy PROGRAM] [--intercept PROGRAM]

Copies real redis traffic between four hosts made of network namespaces and checks the copy byte by byte.
  --json              the result as JSON, the only thing on stdout
  --requests          number of requests on kept connections (default 100000)
  --connections       number of kept connections (default 50)
  --short-requests    number of requests with a connection each (default 3000)
  --offloads          keeps segmentation offloads on: packets of up to 64 KB
  --captures          keeps the captures of source and target in this folder
  --tcpcopy, --intercept   programs to use instead of those of this checkout
`

interface Choice extends Omit<JobOptions, 'folder'> {
  readonly json: boolean
  readonly offloads: boolean
  readonly captures: string | undefined
  readonly programs: Programs
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
    programs: { tcpcopy: values.tcpcopy ?? TCPCOPY, intercept: values.intercept ?? INTERCEPT }
  }
}

/** The folder in which the captures stay; by default they are removed with the lab. */
function captureFolder(path: string): string {
  // Not `recursive`: below /proc, Node.js 20 would never return.
  if (!existsSync(path)) mkdirSync(path)
  return resolve(path)
}

async function run(choice: Choice): Promise<number> {
  const progress = new Progress()
  const interrupted = interruption()
  const opening = openCopyLab(choice)
  try {
    const lab = await Promise.race([opening, interrupted])
    const folder = choice.captures === undefined ? lab.folder : captureFolder(choice.captures)
    const report = await Promise.race([runMainJob(lab, { ...choice, folder }, progress), interrupted])
    progress.end()
    process.stdout.write(choice.json ? `${JSON.stringify(report, undefined, 2)}\n` : printTable(report))
    return report.ok ? 0 : 1
  } finally {
    progress.end()
    await (await opening).close()
  }
}

await runCommand(usage, readChoice, run)
