/** `tcpcopy record`: the main thread of a recording. */
import { RecordCounter } from '../daemon/capture/recorder.ts'
import { TCP } from '../wire/segment.ts'
import { isInBackground, startInBackground } from './background.ts'
import { runDaemon } from './daemon-process.ts'
import { recordClaims } from './instance.ts'
import { readOptions, wholeFilter } from './options/command.ts'
import { type RecordCommandOptions, recordCommand, recordPlan } from './plans/record-plan.ts'
import { CaptureWatch } from './watch/capture-watch.ts'

/** @param argv the arguments after `record` @returns the exit status */
export async function record(argv: readonly string[]): Promise<number> {
  const command = recordCommand()
  const read = readOptions<RecordCommandOptions>(command, argv)
  if (read === undefined) return 0
  const options = wholeFilter(read, command.args)
  const plan = recordPlan(options)
  if (options.daemon === true && !isInBackground()) return startInBackground()
  const buffer = new SharedArrayBuffer(Object.keys(RecordCounter).length * 8)
  const counters = new Float64Array(buffer)
  const { ipv4, ipv6, capture } = plan
  const count = (): number => counters[RecordCounter.packets] ?? 0
  const captureWatch = new CaptureWatch({ services: [...ipv4, ...ipv6], capture, protocol: TCP, count })
  return runDaemon({
    name: 'tcpcopy',
    workerUrl: new URL('./threads/recorder-worker.js', import.meta.url),
    workers: [{ plan, counters: buffer }],
    options,
    watch: (log) => captureWatch.check(log),
    claims: recordClaims(plan),
    report: () => Object.fromEntries(Object.entries(RecordCounter).map(([name, slot]) => [name, counters[slot] ?? 0])),
    summary: ({ packets = 0, octets = 0, captureDropped = 0, files = 0, leftOut = 0, unreadable = 0 }) =>
      `statistics: packets recorded ${packets} (${captureDropped} lost by the kernel), bytes ${octets}, files ${files}` +
      (leftOut + unreadable > 0 ? `; left out ${leftOut}, unreadable ${unreadable}` : '')
  })
}
