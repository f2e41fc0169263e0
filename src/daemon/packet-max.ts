/** How large packets to a target are. */

/** Of Ethernet: where nobody knows better. */
const MTU_DEFAULT = 1500

/**
 * @param wayMtu what the way to the target takes; 0: unknown
 * @param bound what the operator allows (`-M`, `-D`), if anything
 * @returns most octets of an IP packet
 */
export function packetMax(wayMtu: number, bound: number | undefined): number {
  if (wayMtu === 0) return bound ?? MTU_DEFAULT
  return Math.min(wayMtu, bound ?? wayMtu)
}
