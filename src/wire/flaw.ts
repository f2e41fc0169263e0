/**
 * Reasons why captured bytes are not a usable segment or datagram. The drop reasons of core begin with the same list.
 */
export const Flaw = {
  None: 0,
  /** Neither IPv4 nor IPv6. */
  NotIpv4: 1,
  Truncated: 2,
  Fragment: 3,
  NotTcp: 4,
  BadHeader: 5,
  BadChecksum: 6,
  /** A packet of a file with an unsupported link type. */
  UnknownLink: 7,
  /** Only with `--udp`. */
  NotUdp: 8,
  /** The address book is full, so a new IPv6 address cannot be added. */
  AddressesFull: 9
} as const
export type Flaw = (typeof Flaw)[keyof typeof Flaw]
