/** The program intercept. */
import { TargetFindings } from '../core/assistant/target-findings.ts'
import { InterceptCounter, InterceptCounters } from '../core/books/intercept-counters.ts'
import { monotonic } from '../io/linux/system/clock.ts'
import { WorkerExchange } from '../io/worker-exchange.ts'
import { isInBackground, startInBackground } from './background.ts'
import { runDaemon, runProgram } from './daemon-process.ts'
import { Firewall } from './firewall/firewall.ts'
import { readOptions, wholeFilter } from './options/command.ts'
import {
  type InterceptOptions,
  type InterceptPlan,
  interceptCommand,
  interceptNotes,
  interceptPlan,
  interceptRules,
  openDoorWarnings
} from './plans/intercept-plan.ts'
import { partOfInterceptPlan } from './plans/worker-plans.ts'
import { interceptParts, StatisticsLine } from './statistics-line.ts'
import type { InterceptorWorkerData } from './threads/interceptor-worker.ts'
import { sharedWords } from './threads/worker-protocol.ts'
import { interceptWatch } from './watch/intercept-watch.ts'

/** The data of each worker: its part of the plan, and its own counters. */
function interceptWorkers(plan: InterceptPlan): InterceptorWorkerData[] {
  const messages = WorkerExchange.memory(plan.workers)
  const listener = sharedWords(1)
  const groups = sharedWords(2 * Math.max(1, plan.devices.length))
  const findings = sharedWords(TargetFindings.length)
  const allCounters = Array.from({ length: plan.workers }, () => new SharedArrayBuffer(InterceptCounters.byteLength))
  const part = partOfInterceptPlan(plan)
  return allCounters.map((counters) => ({ plan: part, counters, messages, listener, groups, findings, allCounters }))
}

async function main(): Promise<number> {
  const command = interceptCommand()
  const read = readOptions<InterceptOptions>(command, process.argv.slice(2))
  if (read === undefined) return 0
  const options = wholeFilter(read, command.args)
  const plan = await interceptPlan(options)
  const rules = interceptRules(options, plan)
  const notes = interceptNotes(options, plan)
  if (options.daemon === true && !isInBackground()) return startInBackground()
  const workers = interceptWorkers(plan)
  const counters = (): InterceptCounters =>
    InterceptCounters.sum(workers.map((worker) => new InterceptCounters(worker.counters)))
  const line = new StatisticsLine(interceptParts, monotonic.now())
  return runDaemon({
    name: 'intercept',
    warnings: openDoorWarnings(plan),
    workerUrl: new URL('./threads/interceptor-worker.js', import.meta.url),
    workers: workers.map((worker) => ({ ...worker })),
    options,
    notes,
    firewall: rules.length === 0 ? undefined : new Firewall(options.firewall, rules),
    partingWarnings: () => (rules.length === 0 ? [] : openConnections(counters().get(InterceptCounter.peersOpen))),
    report: () => counters().report(),
    watch: interceptWatch(plan, counters, workers[0]?.findings),
    summary: (report, isFinal) => line.next(report, monotonic.now(), isFinal)
  })
}

/** Once the rule is removed, nothing keeps the target's answers from the clients of open connections. */
function openConnections(count: number): readonly string[] {
  if (count === 0) return []
  return [
    `intercept stopped with ${count} tcpcopy connections open: answers to their copies can now reach the clients\n` +
      '  Stop tcpcopy before intercept: it resets its copies at the target.'
  ]
}

await runProgram('intercept', main)
