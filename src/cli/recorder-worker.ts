/** The data plane of `tcpcopy record`: the thread that captures and writes. */
import { Recorder } from '../daemon/recorder.ts'
import { RecordFiles } from '../io/file/record-file.ts'
import { monotonic } from '../io/linux/clock.ts'
import { copyFilter } from '../io/linux/filter.ts'
import { POLLIN, Poller } from '../io/linux/poller.ts'
import { PacketRing } from '../io/linux/ring.ts'
import type { RecordPlan } from './record-plan.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { isStopped, type OpenedWorker, runWorker } from './worker-thread.ts'

interface RecorderWorkerData {
  readonly plan: RecordPlan
  readonly counters: SharedArrayBuffer
}

function open({ plan, counters, control, wake }: RecorderWorkerData & WorkerMeans): OpenedWorker {
  const poller = new Poller(wake)
  const { device, ringMegabytes, path, fileBytesMax, fileMsMax } = plan
  const capture = new PacketRing({ device, link: 'cooked', filter: copyFilter(plan.servers), ringMegabytes })
  poller.add(capture.fd, POLLIN)
  const isRotating = fileBytesMax < Number.POSITIVE_INFINITY || fileMsMax < Number.POSITIVE_INFINITY
  const ports = { capture, files: new RecordFiles(path, isRotating), clock: monotonic, waiter: poller }
  const recorder = new Recorder(ports, { fileBytesMax, fileMsMax }, new Float64Array(counters))
  return {
    run: () => {
      recorder.run(() => isStopped(control))
      capture.close()
      return 0
    }
  }
}

runWorker(open)
