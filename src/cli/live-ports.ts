/** What tcpcopy captures with and sends with, on the live network. */
import type { Counters } from '../core/counters.ts'
import type { CopyMap } from '../core/mapping.ts'
import { ReassemblingCapture } from '../daemon/reassembling-capture.ts'
import { JoinedCapture } from '../io/joined-capture.ts'
import { monotonic } from '../io/linux/clock.ts'
import { copyFilter, copyFilter6, type FilterTarget, type TransportProtocol } from '../io/linux/filter.ts'
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

/** What is captured: TCP or UDP to these places, of each version of IP. */
export interface Captured {
  readonly ipv4: readonly FilterTarget[]
  readonly ipv6: readonly FilterTarget[]
  readonly protocol: TransportProtocol
  readonly isWithoutAcks: boolean
  readonly device: string | undefined
  readonly ringMegabytes: number
}

/**
 * What clients send to the sources of `-x`; the poller wakes for it.
 * @param counters gets fragments of IPv6 that do not become whole
 */
export function openCapture(plan: CopyPlan, poller: Poller, protocol: TransportProtocol, counters: Counters): Capture {
  const sources = (isOfIpv6: boolean): FilterTarget[] =>
    plan.maps.filter((map) => isIpv6(map.targetAddress) === isOfIpv6).map(sourceOf)
  const isWithoutAcks = protocol === 'tcp' && plan.isWithoutAcks
  const ipv6 = sources(true)
  const rings = openRings({ ...plan, ipv4: sources(false), ipv6, protocol, isWithoutAcks }, poller)
  return ipv6.length === 0 ? rings : new ReassemblingCapture(rings, monotonic, counters)
}

/** A ring for each version of IP of which there are places. */
export function openRings(captured: Captured, poller: Poller): PacketRing | JoinedCapture {
  if (captured.ipv6.length === 0) return openRing(captured, 4, poller)
  const ipv6 = openRing(captured, 6, poller)
  return captured.ipv4.length === 0 ? ipv6 : new JoinedCapture(openRing(captured, 4, poller), ipv6)
}

function openRing(captured: Captured, version: 4 | 6, poller: Poller): PacketRing {
  const { ipv4, ipv6, protocol, isWithoutAcks, device, ringMegabytes } = captured
  const filter = version === 6 ? copyFilter6(ipv6, protocol, isWithoutAcks) : copyFilter(ipv4, protocol, isWithoutAcks)
  const ring = new PacketRing({ device, link: 'cooked', version, filter, ringMegabytes })
  poller.add(ring.fd, POLLIN)
  return ring
}

function sourceOf({ sourceAddress, sourcePort }: CopyMap): FilterTarget {
  return { address: sourceAddress, port: sourcePort }
}
