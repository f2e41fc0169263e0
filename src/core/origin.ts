/** Where a session begins, read from the segment it begins with. */
import { type Segment, SYN } from '../wire/segment.ts'
import { add } from '../wire/seq.ts'
import type { Beginning, Origin } from './session-context.ts'

/** What a made-up SYN says. */
const MADE_UP_MSS = 1460
const MADE_UP_SCALE = 7

export function originOf(
  segment: Segment,
  mapIndex: number,
  clientAddress: number,
  clientPort: number,
  targetAddress: number,
  targetPort: number
): Origin {
  const isJoined = (segment.flags & SYN) === 0
  return {
    capturedAddress: segment.fromAddress,
    capturedPort: segment.fromPort,
    sourceAddress: segment.toAddress,
    sourcePort: segment.toPort,
    clientAddress,
    clientPort,
    targetAddress,
    targetPort,
    mapIndex,
    isJoined,
    ipId: isJoined ? 0 : segment.ipId,
    ttl: segment.ttl,
    trafficClass: segment.trafficClass,
    mss: isJoined ? MADE_UP_MSS : segment.mss,
    windowScale: isJoined ? MADE_UP_SCALE : segment.windowScale,
    isSackPermitted: isJoined ? true : segment.sackPermitted,
    hasTimestamps: segment.hasTimestamps
  }
}

/** With what a session begins whose first segment this is. */
export function beginningOf(segment: Segment, isJoined: boolean): Beginning {
  // The window of a SYN is not scaled (RFC 7323 §2.2).
  const shift = isJoined ? MADE_UP_SCALE : 0
  const iss = isJoined ? add(segment.seq, -1) : segment.seq
  return { iss, tsVal: segment.tsVal, windowBytes: segment.window << shift }
}
