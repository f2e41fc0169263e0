/** The program intercept. */
import { InterceptCounter, InterceptCounters } from '../core/intercept-counters.ts'
import { isInBackground, startInBackground } from './background.ts'
import { readOptions } from './command.ts'
import { runDaemon, runProgram } from './daemon-process.ts'
import { Firewall } from './firewall.ts'
import {
  type InterceptOptions,
  interceptCommand,
  interceptNotes,
  interceptPlan,
  interceptRules,
  openDoorWarnings
} from './intercept-plan.ts'
import { interceptSummary } from './summary.ts'

async function main(): Promise<number> {
  const options = readOptions<InterceptOptions>(interceptCommand(), process.argv.slice(2))
  if (options === undefined) return 0
  const plan = await interceptPlan(options)
  const rules = interceptRules(options, plan)
  const notes = interceptNotes(options, plan)
  if (options.daemon === true && !isInBackground()) return startInBackground()
  const buffer = new SharedArrayBuffer(InterceptCounters.byteLength)
  const counters = new InterceptCounters(buffer)
  return runDaemon({
    name: 'intercept',
    warnings: openDoorWarnings(plan),
    workerUrl: new URL('./interceptor-worker.js', import.meta.url),
    workers: [{ plan, counters: buffer }],
    options,
    notes,
    firewall: rules.length === 0 ? undefined : new Firewall(options.firewall, rules),
    partingWarnings: () => (rules.length === 0 ? [] : openConnections(counters.get(InterceptCounter.peersOpen))),
    report: () => counters.report(),
    summary: interceptSummary
  })
}

/** With the rule goes what keeps the target's answers from the clients whose copies are still there. */
function openConnections(count: number): readonly string[] {
  if (count === 0) return []
  return [
    `${count} connections of tcpcopy were open: from now on nothing keeps the answers to its copies from the clients\n` +
      '  Stop tcpcopy first: it resets its copies at the target.'
  ]
}

await runProgram('intercept', main)
