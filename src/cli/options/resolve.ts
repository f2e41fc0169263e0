/** Resolves host names. */
import { lookup } from 'node:dns/promises'
import { OperatorError } from '../../errors.ts'
import { parseAddress } from '../../wire/address.ts'

/** The host's IPv4 address if it has one, else its IPv6 address. @throws OperatorError `unknown-host` */
export async function resolveHost(option: string, host: string): Promise<number> {
  const direct = parseAddress(host)
  if (direct !== undefined) return direct
  try {
    const address = parseAddress((await lookup(host, { verbatim: false })).address)
    if (address !== undefined) return address
  } catch (cause) {
    const hint = 'Check the spelling, or give the IP address.'
    throw new OperatorError('unknown-host', `${option}: the host name "${host}" cannot be resolved`, hint, { cause })
  }
  throw new OperatorError('unknown-host', `${option}: the host "${host}" has no IP address`, 'Give the IP address.')
}
