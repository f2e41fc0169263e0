/** tcpcopy's data plane with `--udp`: the thread that captures datagrams and sends their copies. */
import { Counters } from '../core/counters.ts'
import { Mapping } from '../core/mapping.ts'
import { DATAGRAM_MEMORY_LENGTH, DatagramCopier } from '../daemon/datagram-copier.ts'
import { mapMemory } from '../io/linux/memory.ts'
import { Poller } from '../io/linux/poller.ts'
import type { CopierWorkerData } from './copier-worker.ts'
import { openRing, openSender } from './live-ports.ts'
import { monotonic } from './monotonic.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { awaitOthers, isStopped, log, runWorker, say, tellOpened } from './worker-thread.ts'

function run({ plan, share, counters, control, group }: CopierWorkerData & WorkerMeans): number {
  const poller = new Poller()
  const words = new Int32Array(control)
  const mapping = new Mapping(plan.maps, plan.ranges, plan.loopbackAddress)
  const memory = mapMemory(DATAGRAM_MEMORY_LENGTH)
  const ring = openRing(plan, poller, 'udp', share.workers, group)
  const sender = openSender(plan, memory.address)
  const ports = { capture: ring, sender, clock: monotonic, waiter: poller, log }
  const options = { ...plan, mapping, share, flowsMax: plan.sessionsMax }
  const copier = new DatagramCopier(ports, options, memory.bytes, new Counters(counters))
  tellOpened(poller, ring.fanoutGroup)
  awaitOthers(poller, words)
  ring.begin()
  say({ type: 'ready' })
  copier.run(() => isStopped(words))
  sender.close()
  // The ring stays open to the end of the process: the flows of one that is closed go to the other workers.
  return 0
}

runWorker(run)
