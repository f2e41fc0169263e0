/** Opens what tcpcopy captures and sends with on the live network. */
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop } from '../../core/books/drop.ts'
import type { LoopMemory } from '../../core/selection/loop-guard.ts'
import type { CopyMap } from '../../core/selection/mapping.ts'
import type { OwnAddresses } from '../../core/selection/own-addresses.ts'
import { OwnCapture } from '../../daemon/capture/own-capture.ts'
import { ReassemblingCapture } from '../../daemon/capture/reassembling-capture.ts'
import type { TransportProtocol } from '../../io/linux/capture/filter.ts'
import type { FilterTarget } from '../../io/linux/capture/filter-code.ts'
import { LinkSender } from '../../io/linux/send/link-sender.ts'
import { RawIpSender } from '../../io/linux/send/raw-ip-sender.ts'
import { XdpSender } from '../../io/linux/send/xdp-sender.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import type { Poller } from '../../io/linux/system/poller.ts'
import type { HeldCapture, PacketSender } from '../../ports.ts'
import { isIpv6 } from '../../wire/address-book.ts'
import { Flaw } from '../../wire/flaw.ts'
import type { CopyPlan } from '../plans/copy-plan.ts'
import { openIpCapture, openLiveCapture, type WorkerPart } from './live-capture.ts'
import { sharedClockMs } from './worker-protocol.ts'
import { notices } from './worker-thread.ts'

/** @param memoryAddress where the memory of the outbox is, for C */
export function openSender({ sendBy: by, settings, nextHop }: CopyPlan, memoryAddress: number): PacketSender {
  const { maps } = settings.selection
  // A raw socket would send by the routes what is to leave by a device that was given.
  const raw = by === 'link' || nextHop.device !== undefined ? undefined : new RawIpSender(memoryAddress)
  if (maps.some((map) => isIpv6(map.targetAddress))) raw?.openIpv6()
  if (by === 'ip' && raw !== undefined) return raw
  const tell = (target: string, through: string): void => notices.add('info', 'path to target', { target, through })
  const link = new LinkSender(memoryAddress, raw, tell, nextHop)
  for (const { targetAddress } of maps) link.ways.prepare(targetAddress)
  if (by !== 'xdp') return link
  return new XdpSender(link, (device, through) => notices.add('info', 'sending short packets', { device, through }))
}

/** What this worker shares about loops. All workers have the same clock for it, whenever they started. */
export function loopMemory(words: Int32Array): LoopMemory {
  return { words, clockMs: sharedClockMs() }
}

/**
 * Opens this worker's capture of client packets to the sources of `-x`. It is held, and watched by the poller. Do not
 * close it before the process ends: the kernel would give its flows to other workers.
 * @param counters counts what the capture itself leaves out; @param own the addresses of this host
 */
export function openCapture(
  plan: CopyPlan,
  part: WorkerPart,
  poller: Poller,
  protocol: TransportProtocol,
  counters: Counters,
  own: OwnAddresses
): HeldCapture {
  const { capture } = plan
  const { maps } = plan.settings.selection
  const { isWithoutAcks } = plan.settings.session
  const maps4 = maps.filter(({ targetAddress }) => !isIpv6(targetAddress))
  const maps6 = maps.filter(({ targetAddress }) => isIpv6(targetAddress))
  const wanted = {
    servers: maps4.map(sourceOf),
    servers6: maps6.map(sourceOf),
    targets: maps.map((map) => ({ address: map.targetAddress, port: map.targetPort })),
    protocol,
    isWithoutAcks: protocol === 'tcp' && isWithoutAcks
  }
  const refuse = (flaw: Flaw, packets: number): void => {
    if (flaw === Flaw.NotIpv4) counters.add(Counter.captureLeftOut, packets)
    else counters.drop(flaw, packets, 0)
  }
  const ofHost = (live: HeldCapture): HeldCapture =>
    new OwnCapture(live, own, [...wanted.servers, ...wanted.servers6], () => counters.drop(Drop.Forwarded, 1, 0))
  if (capture.by === 'ip') return ofHost(openIpCapture(capture, wanted, poller))
  const live = openLiveCapture(capture, wanted, refuse, poller, part)
  // With devices, the capture itself reassembles fragments, and sees connections of other hosts.
  if (capture.devices.length > 0) return live
  return ofHost(maps6.length === 0 ? live : new ReassemblingCapture(live, monotonic, counters))
}

function sourceOf({ sourceAddress, sourcePort }: CopyMap): FilterTarget {
  return { address: sourceAddress, port: sourcePort }
}
