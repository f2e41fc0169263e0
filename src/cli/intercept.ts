/** The program intercept. */
import { InterceptCounters } from '../core/intercept-counters.ts'
import { isInBackground, startInBackground } from './background.ts'
import { readOptions } from './command.ts'
import { runDaemon, runProgram } from './daemon-process.ts'
import { type InterceptOptions, interceptCommand, interceptPlan, openDoorWarnings } from './intercept-plan.ts'
import { interceptSummary } from './summary.ts'

async function main(): Promise<number> {
  const options = readOptions<InterceptOptions>(interceptCommand(), process.argv.slice(2))
  if (options === undefined) return 0
  const plan = await interceptPlan(options)
  if (options.daemon === true && !isInBackground()) return startInBackground()
  const buffer = new SharedArrayBuffer(InterceptCounters.byteLength)
  const counters = new InterceptCounters(buffer)
  return runDaemon({
    name: 'intercept',
    warnings: openDoorWarnings(plan),
    workerUrl: new URL('./interceptor-worker.js', import.meta.url),
    workerData: { plan, counters: buffer },
    options,
    report: () => counters.report(),
    summary: interceptSummary
  })
}

await runProgram('intercept', main)
