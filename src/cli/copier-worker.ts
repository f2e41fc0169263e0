/** tcpcopy's data plane: the thread that captures, steps the sessions and sends. */
import type { MessagePort } from 'node:worker_threads'
import { Counters } from '../core/counters.ts'
import { Mapping } from '../core/mapping.ts'
import { Copier, type CopierOptions, copierMemoryLength } from '../daemon/copier.ts'
import { rehearse } from '../daemon/rehearsal.ts'
import { cryptography } from '../io/cryptography.ts'
import { monotonic } from '../io/linux/clock.ts'
import { mapMemory } from '../io/linux/memory.ts'
import { copyOctets } from '../io/linux/native-copy.ts'
import { Poller } from '../io/linux/poller.ts'
import { LinuxNetwork } from '../io/linux/streams.ts'
import type { Capture } from '../ports.ts'
import { addressBook } from '../wire/address-book.ts'
import type { CopyPlan } from './copy-plan.ts'
import { openCapture, openSender } from './live-ports.ts'
import { Replay } from './replay.ts'
import { LineTrace } from './trace.ts'
import { isStopped, log, runWorker, say } from './worker-thread.ts'

/** Long enough for most of what there is to compile, short enough for a start in less than half a second. */
const REHEARSAL_MS = 100

export interface CopierWorkerData {
  readonly plan: CopyPlan
  readonly counters: SharedArrayBuffer
  readonly control: SharedArrayBuffer
  /** With a replay: where the file comes from. */
  readonly chunks: MessagePort | undefined
}

/** A capture that is open while the engine still compiles would lose packets; a file waits. */
function openRehearsed(plan: CopyPlan, poller: Poller, counters: Counters): Capture {
  const until = monotonic.now() + REHEARSAL_MS
  rehearse(cryptography, copyOctets, () => monotonic.now() < until)
  return openCapture(plan, poller, 'tcp', counters)
}

function run({ plan, counters, control, chunks }: CopierWorkerData): number {
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller()
  const words = new Int32Array(control)
  const mapping = new Mapping(plan.maps, plan.ranges, plan.loopbackAddress)
  const options: CopierOptions = {
    ...plan,
    mapping,
    epochs: { isWaiting: plan.isWaiting, timeoutMs: plan.epochTimeoutMs }
  }
  const memory = mapMemory(copierMemoryLength(plan.poolBytes))
  const counts = new Counters(counters)
  let copier: Copier
  const replay =
    plan.replay === undefined || chunks === undefined
      ? undefined
      : new Replay(plan.replay, chunks, mapping, () => copier, counts, plan.epochTimeoutMs)
  const capture = replay?.capture ?? openRehearsed(plan, poller, counts)
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
  say({ type: 'ready', wake: poller.wakeDescriptor })
  copier.run(() => isStopped(words) || replay?.isOver() === true)
  capture.close()
  sender.close()
  return isStopped(words) ? 0 : (replay?.conclude() ?? 0)
}

runWorker(run)
