/** tcpcopy's data plane: the thread that captures, steps the sessions and sends. */
import assert from 'node:assert/strict'
import type { MessagePort } from 'node:worker_threads'
import { Counters } from '../core/counters.ts'
import { Mapping } from '../core/mapping.ts'
import type { WorkerShare } from '../core/worker-share.ts'
import { Copier, type CopierOptions, copierMemoryLength } from '../daemon/copier.ts'
import { rehearse } from '../daemon/rehearsal.ts'
import { cryptography } from '../io/cryptography.ts'
import { mapMemory } from '../io/linux/memory.ts'
import { copyOctets } from '../io/linux/native-copy.ts'
import { Poller } from '../io/linux/poller.ts'
import { LinuxNetwork } from '../io/linux/streams.ts'
import type { CopyPlan } from './copy-plan.ts'
import { openRing, openSender } from './live-ports.ts'
import { monotonic } from './monotonic.ts'
import { Replay } from './replay.ts'
import { LineTrace } from './trace.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { awaitOthers, isStopped, log, runWorker, say, tellOpened } from './worker-thread.ts'

/** Long enough for most of what there is to compile, short enough for a start in less than half a second. */
const REHEARSAL_MS = 100

export interface CopierWorkerData {
  /** This worker's part of all. */
  readonly plan: CopyPlan
  readonly share: WorkerShare
  /** The same for all workers. */
  readonly instance: Uint8Array
  readonly counters: SharedArrayBuffer
  /** With a replay: where the file comes from. */
  readonly chunks: MessagePort | undefined
}

/** A capture that takes packets while the engine still compiles would lose them; one that is held, and a file, wait. */
function rehearseFor(ms: number): void {
  const until = monotonic.now() + ms
  rehearse(cryptography, copyOctets, () => monotonic.now() < until)
}

function run(data: CopierWorkerData & WorkerMeans): number {
  const { plan, share, instance, counters, control, group, chunks } = data
  const poller = new Poller()
  const words = new Int32Array(control)
  const mapping = new Mapping(plan.maps, plan.ranges, plan.loopbackAddress)
  const options: CopierOptions = {
    ...plan,
    mapping,
    share,
    instance,
    epochs: { isWaiting: plan.isWaiting, timeoutMs: plan.epochTimeoutMs }
  }
  const memory = mapMemory(copierMemoryLength(plan.poolBytes))
  const counts = new Counters(counters)
  let copier: Copier
  const replay =
    plan.replay === undefined || chunks === undefined
      ? undefined
      : new Replay(plan.replay, chunks, mapping, () => copier, counts, plan.epochTimeoutMs)
  const ring = replay === undefined ? openRing(plan, poller, 'tcp', share.workers, group) : undefined
  const capture = replay?.capture ?? ring
  assert(capture !== undefined)
  const sender = openSender(plan, memory.address)
  const ports = {
    capture,
    sender,
    network: new LinuxNetwork(poller),
    cryptography,
    clock: monotonic,
    waiter: poller,
    log,
    copy: copyOctets
  }
  const trace = plan.trace === undefined ? undefined : new LineTrace(plan.trace, memory.bytes, say, words)
  copier = new Copier(ports, options, memory.bytes, counts, trace)
  tellOpened(poller, ring?.fanoutGroup)
  if (ring !== undefined) rehearseFor(REHEARSAL_MS)
  awaitOthers(poller, words)
  ring?.begin()
  say({ type: 'ready' })
  copier.run(() => isStopped(words) || replay?.isOver() === true)
  sender.close()
  // The ring stays open to the end of the process: the flows of one that is closed go to the other workers.
  replay?.capture.close()
  return isStopped(words) ? 0 : (replay?.conclude() ?? 0)
}

runWorker(run)
