/** How large packets to a target are. */

import { ipHeaderLength } from '../../core/packets/frames.ts'
import { TCP_HEADER } from '../../wire/segment.ts'

/** Of Ethernet: where nobody knows better. */
const MTU_DEFAULT = 1500

/** What the operator allows. */
export interface SizeLimits {
  /** `-M`: octets of an IP packet. */
  readonly mtuBytes: number | undefined
  /** `-D`: octets of payload and TCP options. */
  readonly mssBytes: number | undefined
}

/** Most octets of an IP packet to this target that an operator allows; undefined: any. */
export function packetLimit({ mtuBytes, mssBytes }: SizeLimits, target: number): number | undefined {
  if (mssBytes === undefined) return mtuBytes
  return Math.min(mssBytes + ipHeaderLength(target) + TCP_HEADER, mtuBytes ?? Number.POSITIVE_INFINITY)
}

/**
 * @param wayMtu what the way to the target takes; 0: unknown
 * @param bound what the operator allows, if that is anything in particular
 * @returns most octets of an IP packet
 */
export function packetMax(wayMtu: number, bound: number | undefined): number {
  if (wayMtu === 0) return bound ?? MTU_DEFAULT
  return Math.min(wayMtu, bound ?? wayMtu)
}
