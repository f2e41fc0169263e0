/** tcpcopy's worker: captures packets, runs the sessions and sends. */
import assert from 'node:assert/strict'
import type { MessagePort } from 'node:worker_threads'
import { Counters } from '../../core/books/counters.ts'
import { mappingOf } from '../../core/selection/settings.ts'
import { copyMemoryLength } from '../../core/sessions/assembly.ts'
import { Copier } from '../../daemon/copier/copier.ts'
import { warmUp } from '../../daemon/copier/warm-up.ts'
import { cryptography } from '../../io/cryptography.ts'
import { LocalAddresses } from '../../io/linux/netlink/local-addresses.ts'
import { SockDiag } from '../../io/linux/netlink/sock-diag.ts'
import { LinuxNetwork } from '../../io/linux/sockets/streams.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import { mapMemory } from '../../io/linux/system/memory.ts'
import { copyOctets } from '../../io/linux/system/native-copy.ts'
import { Poller } from '../../io/linux/system/poller.ts'
import { addressBook } from '../../wire/address-book.ts'
import type { CopyPlan } from '../plans/copy-plan.ts'
import { loopMemory, openCapture, openSender } from './live-ports.ts'
import { Replay } from './replay.ts'
import { LineTrace } from './trace.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { isStopped, log, notices, type OpenedWorker, runWorker, say } from './worker-thread.ts'

/** Long enough to compile most of the code, short enough to start in less than half a second. */
const WARM_UP_MS = 100

export interface CopierWorkerData {
  /** This worker's part of the plan. */
  readonly plan: CopyPlan
  /** Shared by all workers: the counts of `Sampling`, and the id of this tcpcopy on the channel. */
  readonly sampling: Int32Array
  /** `LoopGuard.length` words, shared by all workers. */
  readonly loopWords: Int32Array
  readonly instance: Uint8Array
  /** Shared by all workers: the fanout group of the first worker's capture, which the others join. */
  readonly groups: Int32Array
  readonly counters: SharedArrayBuffer
  /** For a replay: the port that delivers the file. */
  readonly chunks: MessagePort | undefined
}

/** Compiles the hot paths before the capture starts: otherwise it would lose packets meanwhile. */
function warmUpFor(ms: number): void {
  const until = monotonic.now() + ms
  warmUp(cryptography, copyOctets, () => monotonic.now() < until)
}

function open(data: CopierWorkerData & WorkerMeans): OpenedWorker {
  const { plan, counters, chunks, control } = data
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller(data.wake)
  const { settings } = plan
  const memory = mapMemory(copyMemoryLength(settings.limits))
  const counts = new Counters(counters)
  let copier: Copier
  const replay =
    plan.replay === undefined || chunks === undefined
      ? undefined
      : new Replay(
          plan.replay,
          chunks,
          mappingOf(settings.selection),
          () => copier,
          counts,
          settings.session.gate.timeoutMs
        )
  const own = replay === undefined ? new LocalAddresses() : undefined
  const live = own === undefined ? undefined : openCapture(data.plan, data, poller, 'tcp', counts, own)
  const capture = replay?.capture ?? live
  assert(capture !== undefined)
  const sender = openSender(plan, memory.address)
  const ports = {
    capture,
    sender,
    network: new LinuxNetwork(poller),
    cryptography,
    clock: monotonic,
    waiter: poller,
    notices,
    log,
    copy: copyOctets
  }
  const trace = plan.trace === undefined ? undefined : new LineTrace(plan.trace, memory.bytes, say, control)
  // With devices, the capture sees connections of other hosts.
  const source = own !== undefined && plan.capture.devices.length === 0 ? new SockDiag(own) : undefined
  const share = { ...data, loops: loopMemory(data.loopWords) }
  const means = { memory: memory.bytes, counters: counts, share, source, own, instance: data.instance, trace }
  copier = new Copier(ports, settings, means)
  return {
    prepare: () => {
      if (live !== undefined) warmUpFor(WARM_UP_MS)
    },
    begin: () => live?.begin(),
    run: () => {
      copier.run(() => isStopped(control) || replay?.isOver() === true)
      live?.finish?.()
      sender.close()
      source?.close()
      replay?.capture.close()
      return isStopped(control) ? 0 : (replay?.conclude() ?? 0)
    }
  }
}

runWorker(open)
