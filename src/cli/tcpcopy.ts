/** The program tcpcopy. */
import { Counters } from '../core/counters.ts'
import { isInBackground, startInBackground } from './background.ts'
import { readOptions } from './command.ts'
import { conntrackWarnings, untrackRules } from './conntrack.ts'
import { type CopyOptions, copiesWarnings, copyCommand, copyPlan } from './copy-plan.ts'
import { runDaemon, runProgram } from './daemon-process.ts'
import { explain } from './diagnosis.ts'
import { Firewall } from './firewall.ts'
import { withPlaces } from './old-command-line.ts'
import { copySummary } from './summary.ts'

async function main(): Promise<number> {
  const command = copyCommand()
  const read = readOptions<CopyOptions>(command, process.argv.slice(2))
  if (read === undefined) return 0
  const options = withPlaces(read, command.args)
  const plan = await copyPlan(options)
  if (options.daemon === true && !isInBackground()) return startInBackground()
  const isManaging = options.manageRules === true
  // What is sent through the link layer does not meet connection tracking.
  const isRaw = plan.sendBy === 'ip'
  const buffer = new SharedArrayBuffer(Counters.byteLength)
  const counters = new Counters(buffer)
  return runDaemon({
    name: 'tcpcopy',
    warnings: [...copiesWarnings(plan), ...(isRaw && !isManaging ? conntrackWarnings(plan.maps) : [])],
    firewall: isRaw && isManaging ? new Firewall(options.firewall, untrackRules(plan.maps)) : undefined,
    workerUrl: new URL('./copier-worker.js', import.meta.url),
    workerData: { plan, counters: buffer },
    options,
    report: () => ({ ...counters.report(), unaccountedBytes: counters.unaccountedBytes() }),
    summary: copySummary,
    explain
  })
}

await runProgram('tcpcopy', main)
