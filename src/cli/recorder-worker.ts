/** The data plane of `tcpcopy record`: the thread that captures and writes. */
import { Recorder } from '../daemon/recorder.ts'
import { RecordFiles } from '../io/file/record-file.ts'
import { monotonic } from '../io/linux/clock.ts'
import { Poller } from '../io/linux/poller.ts'
import { addressBook } from '../wire/address-book.ts'
import { openRings } from './live-ports.ts'
import type { RecordPlan } from './record-plan.ts'
import { isStopped, runWorker, say } from './worker-thread.ts'

interface RecorderWorkerData {
  readonly plan: RecordPlan
  readonly counters: SharedArrayBuffer
  readonly control: SharedArrayBuffer
}

function run({ plan, counters, control }: RecorderWorkerData): number {
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller()
  const words = new Int32Array(control)
  const { path, fileBytesMax, fileMsMax } = plan
  const capture = openRings({ ...plan, protocol: 'tcp', isWithoutAcks: false }, poller)
  const isRotating = fileBytesMax < Number.POSITIVE_INFINITY || fileMsMax < Number.POSITIVE_INFINITY
  const ports = { capture, files: new RecordFiles(path, isRotating), clock: monotonic, waiter: poller }
  const recorder = new Recorder(ports, { fileBytesMax, fileMsMax }, new Float64Array(counters))
  say({ type: 'ready', wake: poller.wakeDescriptor })
  recorder.run(() => isStopped(words))
  capture.close()
  return 0
}

runWorker(run)
