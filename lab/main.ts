/** The main job of `npm start`, inside the namespaces that scripts/start.mjs makes. */
import { existsSync, mkdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { interruption, positive, runCommand } from './hosts/command.ts'
import { OWN_PROGRAMS, openCopyLab, type Programs } from './hosts/copy-lab.ts'
import { type JobOptions, runMainJob } from './job/main-job.ts'
import { Progress } from './job/progress.ts'
import { printTable } from './job/report.ts'

const usage = `npm start -- [--json] [--requests N] [--connections N] [--short-requests N] [--offloads]
             [--captures FOLDER] [--tcpcopy PROGRAM] [--intercept PROGRAM]

Copies real redis traffic between four hosts made of network namespaces and checks the copy byte by byte.
  --json              print only the result, as JSON
  --requests          requests on persistent connections (default 100000)
  --connections       number of persistent connections (default 50)
  --short-requests    requests on one connection each (default 3000)
  --offloads          keep segmentation offloads on: packets of up to 64 KB
  --captures          keep the captures of source and target in this folder
  --tcpcopy, --intercept   run these programs instead of this checkout's
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
    programs: {
      tcpcopy: values.tcpcopy ?? OWN_PROGRAMS.tcpcopy,
      intercept: values.intercept ?? OWN_PROGRAMS.intercept
    }
  }
}

/** Where the captures are to stay; they vanish with the lab's own folder otherwise. */
function captureFolder(path: string): string {
  // Not `recursive`: below /proc, Node.js 20 then never returns.
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

await runCommand(usage, async () => {
  const choice = readChoice()
  if (choice !== undefined) return await run(choice)
  process.stdout.write(usage)
  return 0
})
