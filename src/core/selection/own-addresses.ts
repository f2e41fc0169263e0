/** The addresses of this host: those for which it accepts packets itself. */

export interface OwnAddresses {
  has(address: number): boolean
  /** The same for an address of 4 or 16 bytes in network byte order, by its IP version. */
  hasAt(bytes: Uint8Array, at: number, version: 4 | 6): boolean
  /** Reads the addresses again if it is time to. Call it about once a second. */
  refresh(now: number): void
}
