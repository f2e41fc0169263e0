/** What tcpcopy captures with and sends with, on the live network. */
import { Counter, type Counters } from '../core/counters.ts'
import type { TransportProtocol } from '../io/linux/filter.ts'
import { LinkSender } from '../io/linux/link-sender.ts'
import type { Poller } from '../io/linux/poller.ts'
import { RawIpSender } from '../io/linux/raw-ip-sender.ts'
import { XdpSender } from '../io/linux/xdp-sender.ts'
import type { Sender } from '../ports.ts'
import { Flaw } from '../wire/flaw.ts'
import type { CopierWorkerData } from './copier-worker.ts'
import type { CopyPlan } from './copy-plan.ts'
import { type HeldCapture, openIpCapture, openLiveCapture } from './live-capture.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { log } from './worker-thread.ts'

/** @param memoryAddress where the memory of the outbox is, for C */
export function openSender({ sendBy: by, maps, ways }: CopyPlan, memoryAddress: number): Sender {
  if (by === 'ip') return new RawIpSender(memoryAddress)
  // A raw socket would send by the routes what is to leave by a device that was given.
  const raw = by === 'link' || ways.device !== undefined ? undefined : new RawIpSender(memoryAddress)
  const tell = (target: string, through: string): void => log('info', 'way to target', { target, through })
  const link = new LinkSender(memoryAddress, raw, tell, ways)
  for (const { targetAddress } of maps) link.ways.prepare(targetAddress)
  if (by !== 'xdp') return link
  return new XdpSender(link, (device, through) => log('info', 'short packets of a device', { device, through }))
}

/**
 * This worker's part of what clients send to the sources of `-x`; it is held. The poller wakes for it. It is not to be
 * closed before the process ends: the kernel would give the flows of one that is closed to other workers.
 */
export function openCapture(
  data: CopierWorkerData & WorkerMeans,
  poller: Poller,
  protocol: TransportProtocol,
  counters: Counters
): HeldCapture {
  const { maps, capture, isWithoutAcks } = data.plan
  const wanted = {
    servers: maps.map((map) => ({ address: map.sourceAddress, port: map.sourcePort })),
    targets: maps.map((map) => ({ address: map.targetAddress, port: map.targetPort })),
    protocol,
    isWithoutAcks: protocol === 'tcp' && isWithoutAcks
  }
  const refuse = (flaw: Flaw, packets: number): void => {
    if (flaw === Flaw.NotIpv4) counters.add(Counter.captureLeftOut, packets)
    else counters.drop(flaw, packets, 0)
  }
  if (capture.by === 'ip') return openIpCapture(capture, wanted, poller)
  return openLiveCapture(capture, wanted, refuse, poller, data)
}
