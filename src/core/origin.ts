/** Where a session begins, read from the segment it begins with; and which segment may begin one. */
import { isIpv6 } from '../wire/address-book.ts'
import { type Segment, SYN } from '../wire/segment.ts'
import { add } from '../wire/seq.ts'
import { Drop } from './drop.ts'
import type { CopyMap, Mapping } from './mapping.ts'
import type { Passage } from './passage.ts'
import type { PortsPool } from './ports-pool.ts'
import type { Session } from './session.ts'
import type { Beginning, Origin } from './session-context.ts'

/** What a made-up SYN says. */
const MADE_UP_MSS = 1460
const MADE_UP_SCALE = 7
const NO_ORIGIN: Origin = {
  capturedAddress: 0,
  capturedPort: 0,
  sourceAddress: 0,
  sourcePort: 0,
  clientAddress: 0,
  clientPort: 0,
  targetAddress: 0,
  targetPort: 0,
  copy: 0,
  mapIndex: 0,
  isJoined: false,
  ipId: 0,
  ttl: 0,
  trafficClass: 0,
  flowLabel: 0,
  mss: 0,
  windowScale: 0,
  isSackPermitted: false,
  hasTimestamps: false
}

/** @param copy number of the copy; @param map the one of number `mapIndex` */
function originOf(
  segment: Segment,
  mapIndex: number,
  map: CopyMap,
  copy: number,
  clientAddress: number,
  clientPort: number
): Origin {
  const isJoined = (segment.flags & SYN) === 0
  return {
    capturedAddress: segment.fromAddress,
    capturedPort: segment.fromPort,
    sourceAddress: segment.toAddress,
    sourcePort: segment.toPort,
    clientAddress,
    clientPort,
    targetAddress: map.targetAddress,
    targetPort: map.targetPort,
    copy,
    mapIndex,
    isJoined,
    ipId: isJoined ? 0 : segment.ipId,
    ttl: segment.ttl,
    trafficClass: segment.trafficClass,
    flowLabel: isIpv6(segment.fromAddress) ? segment.flowLabel : 0,
    mss: isJoined ? MADE_UP_MSS : segment.mss,
    windowScale: isJoined ? MADE_UP_SCALE : segment.windowScale,
    isSackPermitted: isJoined ? true : segment.sackPermitted,
    hasTimestamps: segment.hasTimestamps
  }
}

/** See `Passage`. @param origin of who lies down; default: who is taken up has its own in the row */
export function passOrigin(through: Passage, origin: Origin = NO_ORIGIN): Origin {
  return {
    capturedAddress: through.whole(origin.capturedAddress),
    capturedPort: through.short(origin.capturedPort),
    sourceAddress: through.whole(origin.sourceAddress),
    sourcePort: through.short(origin.sourcePort),
    clientAddress: through.whole(origin.clientAddress),
    clientPort: through.short(origin.clientPort),
    targetAddress: through.whole(origin.targetAddress),
    targetPort: through.short(origin.targetPort),
    copy: through.whole(origin.copy),
    mapIndex: through.whole(origin.mapIndex),
    isJoined: through.flag(origin.isJoined),
    ipId: through.short(origin.ipId),
    ttl: through.short(origin.ttl),
    trafficClass: through.short(origin.trafficClass),
    flowLabel: through.whole(origin.flowLabel),
    mss: through.short(origin.mss),
    windowScale: through.whole(origin.windowScale),
    isSackPermitted: through.flag(origin.isSackPermitted),
    hasTimestamps: through.flag(origin.hasTimestamps)
  }
}

/** With what a session begins whose first segment this is. */
export function beginningOf(segment: Segment, isJoined: boolean): Beginning {
  // The window of a SYN is not scaled (RFC 7323 §2.2).
  const shift = isJoined ? MADE_UP_SCALE : 0
  const iss = isJoined ? add(segment.seq, -1) : segment.seq
  return { iss, tsVal: segment.tsVal, windowBytes: segment.window << shift }
}

/** The origin of a second, third … copy: its own address of `-c`, or the next one that has a port left, if any. */
function originOfCopy(
  segment: Segment,
  mapIndex: number,
  mapping: Mapping,
  copy: number,
  ports: PortsPool
): Origin | undefined {
  const map = mapping.maps[mapIndex]
  for (let step = 0; map !== undefined && step < mapping.addressCount(map.targetAddress); step++) {
    const address = mapping.clientAddress(segment.fromAddress, map.targetAddress, copy + step)
    if (address === 0) return undefined // The book is full: for the next one as well.
    const port = ports.forCopy(address, segment.fromPort, copy, map)
    if (port !== 0) return originOf(segment, mapIndex, map, copy, address, port)
  }
  return undefined
}

/**
 * As whom a session speaks: the first copy to a target with the client's own port, if that is free.
 * @param portBefore that of the session for whose end it waits, which it takes over
 * @returns undefined if no port is left
 */
export function chooseOrigin(
  segment: Segment,
  mapIndex: number,
  copy: number,
  portBefore: number | undefined,
  mapping: Mapping,
  ports: PortsPool
): Origin | undefined {
  const map = mapping.maps[mapIndex]
  if (map === undefined || copy > 0) return originOfCopy(segment, mapIndex, mapping, copy, ports)
  const address = mapping.clientAddress(segment.fromAddress, map.targetAddress)
  const port = portBefore ?? ports.forClient(address, segment.fromPort, map)
  return port === 0 || address === 0 ? undefined : originOf(segment, mapIndex, map, copy, address, port)
}

/**
 * The origin of the session that goes on where one ended before its client. One that had another's port begins once more,
 * elsewhere, where copies have their ports and clients do not: another tcpcopy is less likely to be there.
 */
export function originOfNext(session: Session, ports: PortsPool): Origin {
  const { origin, endReason } = session
  if (endReason !== Drop.PortTaken) return { ...origin, isJoined: true, ipId: 0 }
  const { clientAddress, clientPort } = origin
  return { ...origin, clientPort: ports.forCopy(clientAddress, clientPort, 1, origin) || clientPort }
}

/** A SYN with another initial sequence number is another connection. */
export function isNewConnection(session: Session, segment: Segment): boolean {
  return (segment.flags & SYN) !== 0 && segment.seq !== session.clientIss
}
