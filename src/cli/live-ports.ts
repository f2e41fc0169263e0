/** What tcpcopy captures with and sends with, on the live network. */
import { JoinedCapture } from '../io/joined-capture.ts'
import { copyFilter, copyFilter6, type TransportProtocol } from '../io/linux/filter.ts'
import { LinkSender } from '../io/linux/link-sender.ts'
import { POLLIN, type Poller } from '../io/linux/poller.ts'
import { RawIpSender } from '../io/linux/raw-ip-sender.ts'
import { PacketRing } from '../io/linux/ring.ts'
import { XdpSender } from '../io/linux/xdp-sender.ts'
import type { Capture, Sender } from '../ports.ts'
import { isIpv6 } from '../wire/address-book.ts'
import type { CopyPlan } from './copy-plan.ts'
import { log } from './worker-thread.ts'

/** @param memoryAddress where the memory of the outbox is, for C */
export function openSender({ sendBy: by, maps }: CopyPlan, memoryAddress: number): Sender {
  const raw = by === 'link' ? undefined : new RawIpSender(memoryAddress)
  if (maps.some((map) => isIpv6(map.targetAddress))) raw?.openIpv6()
  if (by === 'ip' && raw !== undefined) return raw
  const link = new LinkSender(memoryAddress, raw, (target, through) =>
    log('info', 'way to target', { target, through })
  )
  for (const { targetAddress } of maps) link.ways.prepare(targetAddress)
  if (by !== 'xdp') return link
  return new XdpSender(link, (device, through) => log('info', 'short packets of a device', { device, through }))
}

/** What clients send to the sources of `-x`: a ring for each version of IP that is copied. The poller wakes for them. */
export function openCapture(plan: CopyPlan, poller: Poller, protocol: TransportProtocol): Capture {
  const has = (version: 4 | 6): boolean => plan.maps.some((map) => isIpv6(map.targetAddress) === (version === 6))
  if (!has(6)) return openRing(plan, 4, poller, protocol)
  const ipv6 = openRing(plan, 6, poller, protocol)
  return has(4) ? new JoinedCapture(openRing(plan, 4, poller, protocol), ipv6) : ipv6
}

function openRing(plan: CopyPlan, version: 4 | 6, poller: Poller, protocol: TransportProtocol): PacketRing {
  const maps = plan.maps.filter((map) => isIpv6(map.targetAddress) === (version === 6))
  const targets = maps.map((map) => ({ address: map.sourceAddress, port: map.sourcePort }))
  const isWithoutAcks = protocol === 'tcp' && plan.isWithoutAcks
  const filterOf = version === 6 ? copyFilter6 : copyFilter
  const filter = filterOf(targets, protocol, isWithoutAcks)
  const { device, ringMegabytes } = plan
  const ring = new PacketRing({ device, link: 'cooked', version, filter, ringMegabytes })
  poller.add(ring.fd, POLLIN)
  return ring
}
