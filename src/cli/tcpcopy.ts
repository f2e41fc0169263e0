/** The program tcpcopy. */
import { randomBytes } from 'node:crypto'
import { Counter, Counters } from '../core/books/counters.ts'
import { LoopGuard } from '../core/selection/loop-guard.ts'
import { Sampling } from '../core/selection/sampling.ts'
import { CONNECTED, CONNECTED_VERSION_1, NOT_CONNECTED } from '../daemon/channel/channel-client.ts'
import { explain } from '../doctor/hints.ts'
import { STATES } from '../doctor/symptoms.ts'
import { monotonic } from '../io/linux/system/clock.ts'
import { INSTANCE_LENGTH } from '../wire/channel/channel-v2.ts'
import { UDP } from '../wire/datagram.ts'
import { TCP } from '../wire/segment.ts'
import { isInBackground, startInBackground } from './background.ts'
import { runDaemon, runProgram } from './daemon-process.ts'
import { conntrackWarnings, untrackRules } from './firewall/conntrack.ts'
import { Firewall } from './firewall/firewall.ts'
import { copyClaims } from './instance.ts'
import { readOptions } from './options/command.ts'
import { type CopyOptions, copyCommand } from './plans/copy-command.ts'
import { type CopyPlan, copiesWarnings, copyPlan } from './plans/copy-plan.ts'
import { withPlaces } from './plans/old-command-line.ts'
import { partOfPlan } from './plans/worker-plans.ts'
import { record } from './record.ts'
import { ReplaySource } from './replay-source.ts'
import { requestsByMap } from './requests-by-map.ts'
import { copyParts, datagramParts, StatisticsLine } from './statistics-line.ts'
import type { CopierWorkerData } from './threads/copier-worker.ts'
import { sharedWords } from './threads/worker-protocol.ts'
import { helpText } from './topics.ts'
import { CaptureWatch, type WatchedCapture } from './watch/capture-watch.ts'

/** The data of each worker: its part of the plan, and its own counters. */
function copierWorkers(plan: CopyPlan): Omit<CopierWorkerData, 'chunks'>[] {
  const instance = randomBytes(INSTANCE_LENGTH)
  const sampling = sharedWords(Sampling.length)
  const loopWords = sharedWords(LoopGuard.length)
  const groups = sharedWords(1)
  return Array.from({ length: plan.workers }, () => ({
    plan: partOfPlan(plan),
    sampling,
    loopWords,
    instance,
    groups,
    counters: new SharedArrayBuffer(Counters.byteLength(plan.settings.selection.maps.length))
  }))
}

function watchedCapture({ capture, settings, isUdp }: CopyPlan, counters: () => Counters): WatchedCapture {
  const services = settings.selection.maps.map((map) => ({ address: map.sourceAddress, port: map.sourcePort }))
  return { services, capture, protocol: isUdp ? UDP : TCP, count: () => counters().get(Counter.capturedPackets) }
}

async function main(): Promise<number> {
  const argv = process.argv.slice(2)
  if (argv[0] === 'record') return record(argv.slice(1))
  if (argv[0] === 'help') {
    process.stdout.write(helpText(argv.slice(1)))
    return 0
  }
  const command = copyCommand()
  const read = readOptions<CopyOptions>(command, argv)
  if (read === undefined) return 0
  const options = withPlaces(read, command.args)
  const plan = await copyPlan(options)
  const { channel, selection } = plan.settings
  const { maps } = selection
  if (options.daemon === true && !isInBackground()) return startInBackground()
  const source = plan.replay === undefined ? undefined : new ReplaySource(plan.replay)
  const isManaging = options.manageRules === true
  // Packets sent through the link layer bypass connection tracking.
  const isRaw = plan.sendBy === 'ip'
  const workers = copierWorkers(plan)
  const counters = (): Counters => Counters.sum(workers.map((worker) => new Counters(worker.counters)))
  const line = new StatisticsLine(plan.isUdp ? datagramParts : copyParts, monotonic.now(), () =>
    counters().latency.copy()
  )
  const captureWatch = source === undefined ? new CaptureWatch(watchedCapture(plan, counters)) : undefined
  const status = runDaemon({
    name: 'tcpcopy',
    warnings: [...copiesWarnings(plan), ...(isRaw && !isManaging ? conntrackWarnings(maps) : [])],
    firewall: isRaw && isManaging ? new Firewall(options.firewall, untrackRules(maps)) : undefined,
    workerUrl: new URL(plan.isUdp ? './threads/datagram-worker.js' : './threads/copier-worker.js', import.meta.url),
    workers: workers.map((worker) => ({ ...worker, chunks: source?.chunks })),
    transfer: source === undefined ? [] : [source.chunks],
    onReady: (wake, logFile) => source?.start(wake, logFile, counters),
    options,
    ...(captureWatch === undefined ? {} : { watch: (log) => captureWatch.check(log) }),
    ...(plan.isUdp
      ? {}
      : {
          settled: {
            messages: [CONNECTED, CONNECTED_VERSION_1, NOT_CONNECTED],
            otherwise: 'not connected to intercept yet: its host does not answer. Check -s, -p and firewalls'
          }
        }),
    connections: plan.workers * channel.intercepts.length * channel.connectionsEach,
    claims: copyClaims(plan),
    report: () => {
      const total = counters()
      const unaccounted = {
        unaccountedBytes: total.unaccountedBytes(),
        unaccountedRequests: total.requests.unaccounted()
      }
      return { ...total.report(), ...requestsByMap(total.requests, maps), ...unaccounted }
    },
    summary: (report, isFinal) => line.next(report, monotonic.now(), isFinal),
    explain,
    loggedOnce: STATES
  })
  return status.finally(() => source?.close())
}

await runProgram('tcpcopy', main)
