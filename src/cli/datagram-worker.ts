/** tcpcopy's data plane with `--udp`: the thread that captures datagrams and sends their copies. */
import { Counters } from '../core/counters.ts'
import { Mapping } from '../core/mapping.ts'
import { DATAGRAM_MEMORY_LENGTH, DatagramCopier } from '../daemon/datagram-copier.ts'
import { monotonic } from '../io/linux/clock.ts'
import { mapMemory } from '../io/linux/memory.ts'
import { Poller } from '../io/linux/poller.ts'
import { addressBook } from '../wire/address-book.ts'
import type { CopierWorkerData } from './copier-worker.ts'
import { openCapture, openSender } from './live-ports.ts'
import { isStopped, log, runWorker, say } from './worker-thread.ts'

function run({ plan, counters, control }: CopierWorkerData): number {
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller()
  const words = new Int32Array(control)
  const mapping = new Mapping(plan.maps, plan.ranges, plan.loopbackAddress)
  const counts = new Counters(counters)
  const memory = mapMemory(DATAGRAM_MEMORY_LENGTH)
  const capture = openCapture(plan, poller, 'udp', counts)
  const sender = openSender(plan, memory.address)
  const ports = { capture, sender, clock: monotonic, waiter: poller, log }
  const options = { ...plan, mapping, flowsMax: plan.sessionsMax }
  const copier = new DatagramCopier(ports, options, memory.bytes, counts)
  say({ type: 'ready', wake: poller.wakeDescriptor })
  copier.run(() => isStopped(words))
  capture.close()
  sender.close()
  return 0
}

runWorker(run)
