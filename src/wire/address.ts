/** IPv4 addresses as int32 in host order, and their text. */

/** @returns the address as int32, or undefined if the text is not a dotted quad */
export function parseAddress(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (match === null) return undefined
  const octets = match.slice(1).map(Number)
  if (octets.some((octet) => octet > 255)) return undefined
  return octets.reduce((address, octet) => (address << 8) | octet, 0)
}

export function formatAddress(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

export function formatEndpoint(address: number, port: number): string {
  return `${formatAddress(address)}:${port}`
}
