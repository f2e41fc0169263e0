/** The size of packets to a target. */
import { ipHeaderLength } from '../../core/packets/frames.ts'
import { TCP_HEADER } from '../../wire/segment.ts'

/** The MTU of Ethernet, where the path MTU is unknown. */
const MTU_DEFAULT = 1500

/** Limits that the operator sets. */
export interface SizeLimits {
  /** `-M`: most bytes of an IP packet. */
  readonly mtuBytes: number | undefined
  /** `-D`: most bytes of payload and TCP options. */
  readonly mssBytes: number | undefined
}

/** Most bytes of an IP packet to this target that the operator allows; undefined: no limit. */
export function packetLimit({ mtuBytes, mssBytes }: SizeLimits, target: number): number | undefined {
  if (mssBytes === undefined) return mtuBytes
  return Math.min(mssBytes + ipHeaderLength(target) + TCP_HEADER, mtuBytes ?? Number.POSITIVE_INFINITY)
}

/**
 * @param pathMtu path MTU to the target; 0: unknown
 * @param limit what the operator allows; undefined: no limit
 * @returns most bytes of an IP packet
 */
export function packetMax(pathMtu: number, limit: number | undefined): number {
  if (pathMtu === 0) return limit ?? MTU_DEFAULT
  return Math.min(pathMtu, limit ?? pathMtu)
}
