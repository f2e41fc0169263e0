/** What tcpcopy captures with and sends with, on the live network. */
import { copyFilter, steering, type TransportProtocol } from '../io/linux/filter.ts'
import { LinkSender } from '../io/linux/link-sender.ts'
import { POLLIN, type Poller } from '../io/linux/poller.ts'
import { RawIpSender } from '../io/linux/raw-ip-sender.ts'
import { PacketRing } from '../io/linux/ring.ts'
import { XdpSender } from '../io/linux/xdp-sender.ts'
import type { Sender } from '../ports.ts'
import type { CopierWorkerData } from './copier-worker.ts'
import type { CopyPlan } from './copy-plan.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { log } from './worker-thread.ts'

/** @param memoryAddress where the memory of the outbox is, for C */
export function openSender({ sendBy: by, maps }: CopyPlan, memoryAddress: number): Sender {
  if (by === 'ip') return new RawIpSender(memoryAddress)
  const raw = by === 'link' ? undefined : new RawIpSender(memoryAddress)
  const link = new LinkSender(memoryAddress, raw, (target, through) =>
    log('info', 'way to target', { target, through })
  )
  for (const { targetAddress } of maps) link.ways.prepare(targetAddress)
  if (by !== 'xdp') return link
  return new XdpSender(link, (device, through) => log('info', 'short packets of a device', { device, through }))
}

/**
 * A ring with this worker's part of what clients send to the sources of `-x`; it is held. The poller wakes for it. It is
 * not to be closed before the process ends: the kernel would give the flows of one that is closed to other workers.
 */
export function openRing(
  { plan, worker, workers, groups }: CopierWorkerData & WorkerMeans,
  poller: Poller,
  protocol: TransportProtocol
): PacketRing {
  const targets = plan.maps.map((map) => ({ address: map.sourceAddress, port: map.sourcePort }))
  const { device, ringMegabytes } = plan
  const ring = new PacketRing({
    device,
    link: 'cooked',
    filter: copyFilter(targets, protocol, protocol === 'tcp' && plan.isWithoutAcks),
    ringMegabytes,
    fanoutGroup: worker === 0 ? undefined : groups[0],
    steering: workers === 1 ? undefined : steering(workers),
    isHeld: true
  })
  groups[0] = ring.fanoutGroup
  poller.add(ring.fd, POLLIN)
  return ring
}
