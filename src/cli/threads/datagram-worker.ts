/** tcpcopy's worker with `--udp`: captures datagrams and sends their copies. */
import { randomInt } from 'node:crypto'
import { Counters } from '../../core/books/counters.ts'
import { DATAGRAM_MEMORY_LENGTH, DatagramCopier } from '../../daemon/copier/datagram-copier.ts'
import { LocalAddresses } from '../../io/linux/netlink/local-addresses.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import { mapMemory } from '../../io/linux/system/memory.ts'
import { Poller } from '../../io/linux/system/poller.ts'
import { addressBook } from '../../wire/address-book.ts'
import type { CopierWorkerData } from './copier-worker.ts'
import { loopMemory, openCapture, openSender } from './live-ports.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { isStopped, log, notices, type OpenedWorker, runWorker } from './worker-thread.ts'

function open(data: CopierWorkerData & WorkerMeans): OpenedWorker {
  const { plan, counters, control } = data
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller(data.wake)
  const { selection, limits, packets } = plan.settings
  const counts = new Counters(counters)
  const memory = mapMemory(DATAGRAM_MEMORY_LENGTH)
  const own = new LocalAddresses()
  const capture = openCapture(data.plan, data, poller, 'udp', counts, own)
  const sender = openSender(plan, memory.address)
  const ports = { capture, sender, clock: monotonic, waiter: poller, notices, log }
  const { sessionsMax: flowsMax } = limits
  const options = {
    selection,
    flowsMax,
    mtuBytes: packets.mtuBytes,
    share: { ...data, loops: loopMemory(data.loopWords) },
    own,
    fragmentIdsFrom: randomInt(0x10000)
  }
  const copier = new DatagramCopier(ports, options, memory.bytes, counts)
  return {
    begin: () => capture.begin(),
    run: () => {
      copier.run(() => isStopped(control))
      capture.finish?.()
      sender.close()
      return 0
    }
  }
}

runWorker(open)
