/** The worker of `tcpcopy record`: captures and writes packets. */

import { OwnCapture } from '../../daemon/capture/own-capture.ts'
import { countRecord, RecordCounter, Recorder } from '../../daemon/capture/recorder.ts'
import { RecordFiles } from '../../io/file/record-file.ts'
import { LocalAddresses } from '../../io/linux/netlink/local-addresses.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import { Poller } from '../../io/linux/system/poller.ts'
import { addressBook } from '../../wire/address-book.ts'
import { Flaw } from '../../wire/flaw.ts'
import type { RecordPlan } from '../plans/record-plan.ts'
import { openLiveCapture } from './live-capture.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { isStopped, type OpenedWorker, runWorker } from './worker-thread.ts'

interface RecorderWorkerData {
  readonly plan: RecordPlan
  readonly counters: SharedArrayBuffer
}

function open({ plan, counters, control, wake }: RecorderWorkerData & WorkerMeans): OpenedWorker {
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller(wake)
  const { ipv4: servers, ipv6: servers6, path, fileBytesMax, fileMsMax } = plan
  const counts = new Float64Array(counters)
  const wanted = { servers, servers6, targets: [], protocol: 'tcp', isWithoutAcks: false } as const
  const refuse = (flaw: Flaw, packets: number): void =>
    countRecord(counts, flaw === Flaw.NotIpv4 ? RecordCounter.leftOut : RecordCounter.unreadable, packets)
  const live = openLiveCapture(plan.capture, wanted, refuse, poller)
  const own = plan.capture.devices.length === 0 ? new LocalAddresses() : undefined
  const leftOut = (): void => countRecord(counts, RecordCounter.leftOut, 1)
  const capture = own === undefined ? live : new OwnCapture(live, own, [...servers, ...servers6], leftOut)
  const isRotating = fileBytesMax < Number.POSITIVE_INFINITY || fileMsMax < Number.POSITIVE_INFINITY
  const ports = { capture, files: new RecordFiles(path, isRotating), clock: monotonic, waiter: poller }
  const recorder = new Recorder(ports, { fileBytesMax, fileMsMax }, counts)
  return {
    begin: () => capture.begin(),
    run: () => {
      recorder.run(() => isStopped(control), own)
      capture.close()
      return 0
    }
  }
}

runWorker(open)
