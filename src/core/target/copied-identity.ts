/** Where a session begins, read from the segment it begins with; and which segment may begin one. */
import { isIpv6 } from '../../wire/address-book.ts'
import { type Segment, SYN } from '../../wire/segment.ts'
import { add } from '../../wire/seq.ts'
import { Drop } from '../books/drop.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { CopyMap, Mapping } from '../selection/mapping.ts'
import type { PortsPool } from '../selection/ports-pool.ts'
import type { Session } from '../session/session.ts'
import type { CopiedIdentity, SessionStart } from '../session/session-context.ts'

/** What a made-up SYN says. */
const MADE_UP_MSS = 1460
const MADE_UP_SCALE = 7
const NO_IDENTITY: CopiedIdentity = {
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
function identityOf(
  segment: Segment,
  mapIndex: number,
  map: CopyMap,
  copy: number,
  clientAddress: number,
  clientPort: number
): CopiedIdentity {
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

/** See `Snapshot`. @param identity of who lies down; default: who is taken up has its own in the row */
export function saveIdentity(snapshot: Snapshot, identity: CopiedIdentity = NO_IDENTITY): CopiedIdentity {
  return {
    capturedAddress: snapshot.whole(identity.capturedAddress),
    capturedPort: snapshot.short(identity.capturedPort),
    sourceAddress: snapshot.whole(identity.sourceAddress),
    sourcePort: snapshot.short(identity.sourcePort),
    clientAddress: snapshot.whole(identity.clientAddress),
    clientPort: snapshot.short(identity.clientPort),
    targetAddress: snapshot.whole(identity.targetAddress),
    targetPort: snapshot.short(identity.targetPort),
    copy: snapshot.whole(identity.copy),
    mapIndex: snapshot.whole(identity.mapIndex),
    isJoined: snapshot.flag(identity.isJoined),
    ipId: snapshot.short(identity.ipId),
    ttl: snapshot.short(identity.ttl),
    trafficClass: snapshot.short(identity.trafficClass),
    flowLabel: snapshot.whole(identity.flowLabel),
    mss: snapshot.short(identity.mss),
    windowScale: snapshot.whole(identity.windowScale),
    isSackPermitted: snapshot.flag(identity.isSackPermitted),
    hasTimestamps: snapshot.flag(identity.hasTimestamps)
  }
}

/** With what a session begins whose first segment this is. */
export function sessionStartOf(segment: Segment, isJoined: boolean): SessionStart {
  // The window of a SYN is not scaled (RFC 7323 §2.2).
  const shift = isJoined ? MADE_UP_SCALE : 0
  const iss = isJoined ? add(segment.seq, -1) : segment.seq
  return { iss, tsVal: segment.tsVal, windowBytes: segment.window << shift }
}

/** The identity of a second, third … copy: its own address of `-c`, or the next one that has a port left, if any. */
function identityOfCopy(
  segment: Segment,
  mapIndex: number,
  mapping: Mapping,
  copy: number,
  ports: PortsPool
): CopiedIdentity | undefined {
  const map = mapping.maps[mapIndex]
  for (let step = 0; map !== undefined && step < mapping.addressCount(map.targetAddress); step++) {
    const address = mapping.clientAddress(segment.fromAddress, map.targetAddress, copy + step)
    if (address === 0) return undefined // The book is full: for the next one as well.
    const port = ports.forCopy(address, segment.fromPort, copy, map)
    if (port !== 0) return identityOf(segment, mapIndex, map, copy, address, port)
  }
  return undefined
}

/**
 * As whom a session speaks: the first copy to a target with the client's own port, if that is free.
 * @param portBefore that of the session for whose end it waits, which it takes over
 * @returns undefined if no port is left
 */
export function chooseIdentity(
  segment: Segment,
  mapIndex: number,
  copy: number,
  portBefore: number | undefined,
  mapping: Mapping,
  ports: PortsPool
): CopiedIdentity | undefined {
  const map = mapping.maps[mapIndex]
  if (map === undefined || copy > 0) return identityOfCopy(segment, mapIndex, mapping, copy, ports)
  const address = mapping.clientAddress(segment.fromAddress, map.targetAddress)
  const port = portBefore ?? ports.forClient(address, segment.fromPort, map)
  return port === 0 || address === 0 ? undefined : identityOf(segment, mapIndex, map, copy, address, port)
}

/**
 * The identity of the session that goes on where one ended before its client. One that had another's port begins once more,
 * elsewhere, where copies have their ports and clients do not: another tcpcopy is less likely to be there.
 */
export function nextIdentity(session: Session, ports: PortsPool): CopiedIdentity {
  const { identity, endReason } = session
  if (endReason !== Drop.PortTaken) return { ...identity, isJoined: true, ipId: 0 }
  const { clientAddress, clientPort } = identity
  return { ...identity, clientPort: ports.forCopy(clientAddress, clientPort, 1, identity) || clientPort }
}

/** A SYN with another initial sequence number is another connection. */
export function isNewConnection(session: Session, segment: Segment): boolean {
  return (segment.flags & SYN) !== 0 && segment.seq !== session.clientIss
}
