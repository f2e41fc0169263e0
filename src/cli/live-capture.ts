/** What live packets are captured with. */
import { type FrameCapture, LinkCapture, type LinkCaptureOptions } from '../daemon/link-capture.ts'
import { isEthernet } from '../io/linux/devices.ts'
import { copyFilter, type FilterTarget, type TransportProtocol } from '../io/linux/filter.ts'
import { compileFilter } from '../io/linux/libpcap.ts'
import { both, cutTo, frameFilter } from '../io/linux/link-filter.ts'
import { SLOT_OVERHEAD } from '../io/linux/packet-socket.ts'
import { POLLIN, type Poller } from '../io/linux/poller.ts'
import { PacketRing } from '../io/linux/ring.ts'
import type { FilterProgram } from '../wire/bpf.ts'
import { UDP } from '../wire/datagram.ts'
import { LinkType } from '../wire/link-layer.ts'
import { TCP } from '../wire/segment.ts'
import type { CapturePlan } from './capture-plan.ts'

const SLOT_LENGTH = 2048

/** Whose packets are captured. */
export interface Wanted extends Omit<LinkCaptureOptions, 'protocol'> {
  readonly servers: readonly FilterTarget[]
  readonly protocol: TransportProtocol
  /** The kernel drops acknowledgments without payload. */
  readonly isWithoutAcks: boolean
}

/** Without devices a ring with what clients send to the servers; of devices their frames. The poller wakes for it. */
export function openLiveCapture(plan: CapturePlan, wanted: Wanted, poller: Poller): FrameCapture {
  const { servers, protocol, isWithoutAcks } = wanted
  const filter = copyFilter(servers, protocol, isWithoutAcks)
  if (plan.devices.length === 0) {
    const cooked = withExpression(plan, cutTo(filter, plan.snapLength), 'cooked')
    return openRing(plan, { device: undefined, link: 'cooked', filter: cooked }, poller)
  }
  const devices = plan.devices.map((device) => {
    const link = isEthernet(device) ? 'ethernet' : 'cooked'
    const program = withExpression(plan, cutTo(frameFilter(filter, link), plan.snapLength), link, device)
    return {
      capture: openRing(plan, { device, link, filter: program, isPromiscuous: true }, poller),
      linkType: link === 'ethernet' ? LinkType.Ethernet : LinkType.Raw
    }
  })
  return new LinkCapture(devices, { ...wanted, protocol: protocol === 'tcp' ? TCP : UDP })
}

/** A program that also asks what `-F` asks. */
function withExpression(
  { filter, snapLength }: CapturePlan,
  program: FilterProgram,
  link: 'ethernet' | 'cooked',
  device?: string
): FilterProgram {
  if (filter === undefined) return program
  const context = device === undefined ? { link, snapLength } : { link, snapLength, device }
  return both(compileFilter(filter, context), program)
}

function openRing(
  { ringMegabytes, snapLength }: CapturePlan,
  options: ConstructorParameters<typeof PacketRing>[0],
  poller: Poller
): PacketRing {
  const ring = new PacketRing({ ...options, ringMegabytes, snapLength, slotLength: slotLengthFor(snapLength) })
  poller.add(ring.fd, POLLIN)
  return ring
}

/** Short packets have short slots, so that more of them find room. */
function slotLengthFor(snapLength: number): number {
  let length = 256
  while (length < SLOT_LENGTH && length - SLOT_OVERHEAD < snapLength) length *= 2
  return length
}
