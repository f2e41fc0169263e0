/** Host names to IPv4 addresses. */
import { lookup } from 'node:dns/promises'
import { OperatorError } from '../errors.ts'
import { parseAddress } from '../wire/address.ts'

/** @throws OperatorError `unknown-host` */
export async function resolveHost(option: string, host: string): Promise<number> {
  const direct = parseAddress(host)
  if (direct !== undefined) return direct
  try {
    const address = parseAddress((await lookup(host, { family: 4 })).address)
    if (address !== undefined) return address
  } catch (cause) {
    const hint = 'Check the spelling, or write its IPv4 address.'
    throw new OperatorError('unknown-host', `${option}: the host "${host}" is not known`, hint, { cause })
  }
  throw new OperatorError('unknown-host', `${option}: "${host}" has no IPv4 address`, 'Write its IPv4 address.')
}
