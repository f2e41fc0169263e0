/** Why bytes are not a TCP segment that can be used. 0 is none. The core's drop reasons begin with these. */
export const Flaw = {
  None: 0,
  /** Nor IPv6. */
  NotIpv4: 1,
  Truncated: 2,
  Fragment: 3,
  NotTcp: 4,
  BadHeader: 5,
  BadChecksum: 6,
  /** A file's packet below a link layer that is not read. */
  UnknownLink: 7,
  /** With `--udp`. */
  NotUdp: 8,
  /** There is no room for one more IPv6 address. */
  AddressesFull: 9
} as const
export type Flaw = (typeof Flaw)[keyof typeof Flaw]
