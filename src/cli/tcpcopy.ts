/** The program tcpcopy. */
import { Counters } from '../core/counters.ts'
import { NOTHING_COMES_BACK, type Silence } from '../daemon/copier.ts'
import { conntrackCount } from '../io/linux/devices.ts'
import { formatAddress } from '../wire/address.ts'
import { isInBackground, startInBackground } from './background.ts'
import { readOptions } from './command.ts'
import { type CopyOptions, type CopyPlan, copiesWarnings, copyCommand, copyPlan } from './copy-plan.ts'
import { runDaemon, runProgram } from './daemon-process.ts'
import { explainSilence } from './diagnosis.ts'
import { record } from './record.ts'
import { ReplaySource } from './replay-source.ts'
import { copySummary } from './summary.ts'

async function main(): Promise<number> {
  const argv = process.argv.slice(2)
  if (argv[0] === 'record') return record(argv.slice(1))
  const options = readOptions<CopyOptions>(copyCommand(), argv)
  if (options === undefined) return 0
  const plan = await copyPlan(options)
  if (options.daemon === true && !isInBackground()) return startInBackground()
  const source = plan.replay === undefined ? undefined : new ReplaySource(plan.replay)
  const buffer = new SharedArrayBuffer(Counters.byteLength)
  const counters = new Counters(buffer)
  const status = runDaemon({
    name: 'tcpcopy',
    warnings: [...copiesWarnings(plan), ...conntrackWarning(plan)],
    workerUrl: new URL('./copier-worker.js', import.meta.url),
    workerData: { plan, counters: buffer, chunks: source?.chunks },
    transfer: source === undefined ? [] : [source.chunks],
    onReady: (wake, logFile) => source?.start(wake, logFile, counters),
    options,
    report: () => ({ ...counters.report(), unaccountedBytes: counters.unaccountedBytes() }),
    summary: copySummary,
    explain: (message, fields) =>
      // as: the fields of this message are those of a Silence
      message === NOTHING_COMES_BACK ? explainSilence(fields as unknown as Silence) : undefined
  })
  return status.finally(() => source?.close())
}

/** A copied packet that the kernel routes enters connection tracking, where its connection never gets complete. */
function conntrackWarning(plan: CopyPlan): readonly string[] {
  const count = conntrackCount()
  if (count === 0) return []
  const rules = plan.maps.map(({ targetAddress, targetPort }) => {
    const target = `-d ${formatAddress(targetAddress)} -p tcp --dport ${targetPort}`
    return `iptables -t raw -I OUTPUT ${target} -j NOTRACK`
  })
  return [
    `this host tracks connections (${count} now): each copied one leaves an entry for 120 s, and firewall rules that drop ` +
      `invalid packets drop the copies\n  Keep the copies out of it: ${rules.join('; ')}`
  ]
}

await runProgram('tcpcopy', main)
