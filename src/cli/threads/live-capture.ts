/** Opens the captures of live packets. */
import { LinkCapture, type LinkCaptureOptions } from '../../daemon/capture/link-capture.ts'
import { JoinedCapture } from '../../io/joined-capture.ts'
import { copyFilter, copyFilter6, steering, type TransportProtocol } from '../../io/linux/capture/filter.ts'
import type { FilterTarget } from '../../io/linux/capture/filter-code.ts'
import { IpCapture } from '../../io/linux/capture/ip-capture.ts'
import { compileFilter } from '../../io/linux/capture/libpcap.ts'
import { both, cutTo, frameFilter, notTo, notTo6 } from '../../io/linux/capture/link-filter.ts'
import { SLOT_OVERHEAD } from '../../io/linux/capture/packet-socket.ts'
import { PacketRing } from '../../io/linux/capture/ring.ts'
import { isEthernet } from '../../io/linux/netlink/devices.ts'
import { POLLIN, type Poller } from '../../io/linux/system/poller.ts'
import type { HeldCapture, TimedCapture } from '../../ports.ts'
import { isIpv6 } from '../../wire/address-book.ts'
import type { FilterProgram } from '../../wire/capture-file/bpf.ts'
import { UDP } from '../../wire/datagram.ts'
import { LinkType } from '../../wire/link-layer.ts'
import { TCP } from '../../wire/segment.ts'
import type { CapturePlan } from '../plans/capture-plan.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { log } from './worker-thread.ts'

const SLOT_LENGTH = 2048

/** The share of the packets that a worker gets. */
export interface WorkerPart extends Pick<WorkerMeans, 'worker' | 'workers'> {
  /** Shared by all workers: the fanout group of the first worker's capture, which the others join. */
  readonly groups: Int32Array
}

/** Which client packets to capture. */
interface Wanted {
  /** By IP version: IPv4, IPv6. */
  readonly servers: readonly FilterTarget[]
  readonly servers6: readonly FilterTarget[]
  /** Packets to these are copies, and must not be copied again. */
  readonly targets: readonly FilterTarget[]
  readonly protocol: TransportProtocol
  /** Let the kernel drop acknowledgments without payload. */
  readonly isWithoutAcks: boolean
}

const NUMBERS = { tcp: TCP, udp: UDP }

/** Captures what clients send to the servers over IPv4, as far as this host accepts it. The poller watches it. */
export function openIpCapture(plan: CapturePlan, wanted: Wanted, poller: Poller): IpCapture {
  const filter = packetFilter(plan, ofHost(wanted))
  const protocol = NUMBERS[wanted.protocol]
  const capture = new IpCapture({ protocol, filter, bufferMegabytes: plan.ringMegabytes, isHeld: true })
  poller.add(capture.fd, POLLIN)
  log('info', 'capturing', { through: 'raw socket', of: 'packets for this host' })
  return capture
}

/**
 * Without devices: captures what clients send to the servers, in a ring for each IP version. With devices: captures
 * their frames. The capture is held, and watched by the poller.
 * @param refuse see LinkCaptureOptions
 * @param part of the ring, by default all; frames and IPv6 are not shared
 */
export function openLiveCapture(
  plan: CapturePlan,
  wanted: Wanted,
  refuse: LinkCaptureOptions['refuse'],
  poller: Poller,
  part: WorkerPart = { worker: 0, workers: 1, groups: new Int32Array(1) }
): TimedCapture & HeldCapture {
  if (plan.devices.length === 0) return openRings(plan, ofHost(wanted), poller, part)
  const devices = plan.devices.map((device) => {
    const link = isEthernet(device) ? 'ethernet' : 'cooked'
    const filter6 = wanted.servers6.length === 0 ? undefined : clientFilter6(wanted)
    const frames = frameFilter(clientFilter(wanted), link, filter6)
    const program = withExpression(plan, cutTo(frames, plan.snapLength), link, device)
    return {
      capture: openRing(plan, { device, link, filter: program, isPromiscuous: true }, poller),
      linkType: link === 'ethernet' ? LinkType.Ethernet : LinkType.Raw
    }
  })
  log('info', 'capturing', { through: 'ring', of: `all frames of ${plan.devices.join(', ')}` })
  const { servers, servers6, targets, protocol } = wanted
  const isWanted = (address: number, port: number): boolean =>
    isAmong(isIpv6(address) ? servers6 : servers, address, port) && !isAmong(targets, address, port)
  return new LinkCapture(devices, { protocol: NUMBERS[protocol], isWanted, refuse })
}

/** Without an address in `-x`: only frames that the link layer sent to this host. */
function ofHost(wanted: Wanted): Wanted {
  const restrict = (server: FilterTarget): FilterTarget => ({ ...server, isForHost: server.address === 0 })
  return { ...wanted, servers: wanted.servers.map(restrict), servers6: wanted.servers6.map(restrict) }
}

function openRings(
  plan: CapturePlan,
  wanted: Wanted,
  poller: Poller,
  { worker, workers, groups }: WorkerPart
): TimedCapture & HeldCapture {
  const { servers, servers6 } = wanted
  const open6 = (): PacketRing => {
    const filter = withExpression(plan, cutTo(clientFilter6(wanted), plan.snapLength), 'cooked')
    return openRing(plan, { device: undefined, link: 'cooked', version: 6, filter }, poller)
  }
  const open4 = (): PacketRing => {
    const share = {
      fanoutGroup: worker === 0 ? undefined : groups[0],
      steering: workers === 1 ? undefined : steering(workers)
    }
    const ring = openRing(
      plan,
      { device: undefined, link: 'cooked', filter: packetFilter(plan, wanted), ...share },
      poller
    )
    groups[0] = ring.fanoutGroup
    return ring
  }
  const hasBoth = servers.length > 0 && servers6.length > 0
  const opened = hasBoth ? new JoinedCapture(open4(), open6()) : servers6.length > 0 ? open6() : open4()
  const versions = hasBoth ? 'IPv4 and IPv6' : servers6.length > 0 ? 'IPv6' : 'IPv4'
  log('info', 'capturing', { through: 'ring', of: `${versions} packets for this host, on any device` })
  return opened
}

function isAmong(places: readonly FilterTarget[], address: number, port: number): boolean {
  for (const place of places) {
    if (place.port === port && (place.address === address || place.address === 0)) return true
  }
  return false
}

/** For packets that start with the IPv4 header. */
function clientFilter({ servers, targets, protocol, isWithoutAcks }: Wanted): FilterProgram {
  return both(notTo(targets.filter(({ address }) => !isIpv6(address))), copyFilter(servers, protocol, isWithoutAcks))
}

/** For packets that start with the IPv6 header. */
function clientFilter6({ servers6, targets, protocol, isWithoutAcks }: Wanted): FilterProgram {
  return both(notTo6(targets.filter(({ address }) => isIpv6(address))), copyFilter6(servers6, protocol, isWithoutAcks))
}

function packetFilter(plan: CapturePlan, wanted: Wanted): FilterProgram {
  return withExpression(plan, cutTo(clientFilter(wanted), plan.snapLength), 'cooked')
}

/** Adds the filter of `-F` to a program. */
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
  const ring = new PacketRing({
    ...options,
    ringMegabytes,
    snapLength,
    slotLength: slotLengthFor(snapLength),
    isHeld: true
  })
  poller.add(ring.fd, POLLIN)
  return ring
}

/** Short packets get short slots, so that more of them fit. */
function slotLengthFor(snapLength: number): number {
  let length = 256
  while (length < SLOT_LENGTH && length - SLOT_OVERHEAD < snapLength) length *= 2
  return length
}
