/** What tcpcopy captures with and sends with, on the live network. */
import { Counter, type Counters } from '../core/counters.ts'
import { Mapping } from '../core/mapping.ts'
import type { TransportProtocol } from '../io/linux/filter.ts'
import { LinkSender } from '../io/linux/link-sender.ts'
import type { Poller } from '../io/linux/poller.ts'
import { RawIpSender } from '../io/linux/raw-ip-sender.ts'
import { XdpSender } from '../io/linux/xdp-sender.ts'
import type { Capture, Sender } from '../ports.ts'
import { Flaw } from '../wire/flaw.ts'
import type { CopyPlan } from './copy-plan.ts'
import { openIpCapture, openLiveCapture } from './live-capture.ts'
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

/** What clients send to the sources of `-x`; the poller wakes for it. */
export function openCapture(plan: CopyPlan, poller: Poller, protocol: TransportProtocol, counters: Counters): Capture {
  const { maps } = plan
  const mapping = new Mapping(maps)
  const clients = {
    servers: maps.map((map) => ({ address: map.sourceAddress, port: map.sourcePort })),
    protocol,
    isWithoutAcks: protocol === 'tcp' && plan.isWithoutAcks
  }
  if (plan.capture.by === 'ip') return openIpCapture(plan.capture, clients, poller)
  return openLiveCapture(
    plan.capture,
    {
      ...clients,
      // A device that sees the target's network sees the copies too, and must not have them copied again.
      isWanted: (address, port) =>
        mapping.has(address, port) &&
        !maps.some(({ targetAddress, targetPort }) => targetAddress === address && targetPort === port),
      refuse: (flaw, packets) => {
        if (flaw === Flaw.NotIpv4) counters.add(Counter.captureLeftOut, packets)
        else counters.drop(flaw, packets, 0)
      }
    },
    poller
  )
}
