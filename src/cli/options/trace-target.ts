/** The client that `--trace` watches. */
import { parseAddress } from '../../wire/address.ts'
import { badValue, wholeNumber, withoutBrackets } from './values.ts'

/** Clients to trace; 0 matches any. */
export interface TraceTarget {
  readonly address: number
  readonly port: number
}

/** `ADDRESS[:PORT]` of a client, or `all`. */
export function parseTraceTarget(text: string): TraceTarget {
  if (text === 'all') return { address: 0, port: 0 }
  const whole = parseAddress(text)
  if (whole !== undefined) return { address: whole, port: 0 }
  const [, addressText = '', portText] = /^(\[[^\]]+\]|[^:]+)(?::(.*))?$/.exec(text) ?? []
  const address = parseAddress(withoutBrackets(addressText))
  if (address === undefined) throw badValue('--trace', text, "a client's address, address:port, or all")
  return { address, port: portText === undefined ? 0 : wholeNumber('--trace: port', portText, 1, 65_535) }
}
