/** The program tcpcopy. */
import { Counters } from '../core/counters.ts'
import { isInBackground, startInBackground } from './background.ts'
import { readOptions } from './command.ts'
import { type CopyOptions, copyCommand, copyPlan } from './copy-plan.ts'
import { runDaemon, runProgram } from './daemon-process.ts'
import { explainSilence, type Silence } from './diagnosis.ts'
import { copySummary } from './summary.ts'

async function main(): Promise<number> {
  const options = readOptions<CopyOptions>(copyCommand(), process.argv.slice(2))
  if (options === undefined) return 0
  const plan = await copyPlan(options)
  if (options.daemon === true && !isInBackground()) return startInBackground()
  const buffer = new SharedArrayBuffer(Counters.byteLength)
  const counters = new Counters(buffer)
  return runDaemon({
    name: 'tcpcopy',
    workerUrl: new URL('./copier-worker.js', import.meta.url),
    workerData: { plan, counters: buffer },
    options,
    report: () => ({ ...counters.report(), unaccountedBytes: counters.unaccountedBytes() }),
    summary: copySummary,
    explain: (message, fields) =>
      // as: the fields of this message are those of a Silence
      message === 'nothing comes back from the target' ? explainSilence(fields as unknown as Silence) : undefined
  })
}

await runProgram('tcpcopy', main)
