/**
 * Chooses the copied identity of a connection: the client address and port that the target sees, and its SYN's options.
 */
import { isIpv6 } from '../../wire/address-book.ts'
import { type Segment, SYN } from '../../wire/segment.ts'
import type { Snapshot } from '../memory/snapshot.ts'
import type { CopyMap, Mapping } from '../selection/mapping.ts'
import type { PortsPool } from '../selection/ports-pool.ts'
import type { ConnectionIdentity } from '../tcp/control-block.ts'

/** `clientAddress` and `clientPort` are those that the target sees. */
export interface CopiedIdentity extends ConnectionIdentity {
  readonly sourceAddress: number
  readonly sourcePort: number
  /** Number of the copy of its connection to this target: 0 for the first or only one, more with `-n`. */
  readonly copy: number
  /** Index of the `-x` mapping. */
  readonly mapIndex: number
}

/** Options of a made-up SYN. */
const MADE_UP_MSS = 1460
export const MADE_UP_SCALE = 7
export const NO_IDENTITY: CopiedIdentity = {
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

/** @param copy number of the copy; @param map the mapping with index `mapIndex` */
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

/** See `Snapshot`. @returns `identity` when saving, the restored identity when restoring */
export function saveIdentity(snapshot: Snapshot, identity: CopiedIdentity): CopiedIdentity {
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

/**
 * The identity of a copy beyond the first: its own address of `-c`, or the next one with a free port, if there is one.
 */
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
    if (address === 0) return undefined // The address book is full, so the next address would not fit either.
    const port = ports.forCopy(address, segment.fromPort, copy, map)
    if (port !== 0) return identityOf(segment, mapIndex, map, copy, address, port)
  }
  return undefined
}

/**
 * The identity of a new session. The first copy to a target uses the client's own port if that is free.
 * @param portBefore port of the earlier session that it waits for and takes over from
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
 * The identity of a session that reconnects. If another tcpcopy has its port, it takes one from the range of copies,
 * which clients rarely use, so that another conflict is less likely.
 */
export function nextIdentity(identity: CopiedIdentity, isPortTaken: boolean, ports: PortsPool): CopiedIdentity {
  if (!isPortTaken) return { ...identity, isJoined: true, ipId: 0 }
  const { clientAddress, clientPort } = identity
  return { ...identity, clientPort: ports.forCopy(clientAddress, clientPort, 1, identity) || clientPort }
}
