/** Translates simple pcap filters to addresses and ports for firewall rules. */
import { OperatorError } from '../../errors.ts'
import { parseAddress } from '../../wire/address.ts'
import type { Place } from '../firewall/rules.ts'

const HOST = String.raw`(?:ip6? )?src (?:host )?(\d+\.\d+\.\d+\.\d+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)`
const PORT = String.raw`(?:tcp )?src port (\d+)`
const PROTOCOL = /^(?:ip6?|tcp|ip6? proto tcp)$/

/** Places by IP version. */
export interface AnswerPlaces {
  readonly ipv4: readonly Place[]
  readonly ipv6: readonly Place[]
}

/**
 * Sources of the answers that a pcap-filter(7) expression matches: each source address combined with each source port.
 * A filter without an address and IP version yields places for both versions.
 *
 * Supported are `tcp`, `ip`, `ip6`, `src host A` and `src port P`, joined by `and`; several hosts or ports stand in
 * parentheses, joined by `or`. Other expressions could match more or less than a rule.
 * @throws OperatorError `bad-rule`
 */
export function answerPlaces(filter: string): AnswerPlaces {
  const text = filter.trim().replace(/\s+/g, ' ').replaceAll('&&', 'and').replaceAll('||', 'or')
  let hosts: readonly string[] | undefined
  let ports: readonly string[] | undefined
  let versions = [4, 6]
  for (const part of text.split(' and ')) {
    if (/^ip\b/.test(part)) versions = versions.filter((version) => version === 4)
    if (/^ip6\b/.test(part)) versions = versions.filter((version) => version === 6)
    if (PROTOCOL.test(part)) continue
    const portsHere = alternatives(part, PORT)
    const hostsHere = alternatives(part, HOST)
    if (portsHere !== undefined && ports === undefined) ports = portsHere
    else if (hostsHere !== undefined && hosts === undefined) hosts = hostsHere
    else throw notUnderstood(filter, `"${part}" is not supported`)
  }
  if (ports === undefined) throw notUnderstood(filter, 'it has no src port')
  const places = (addresses: readonly (number | undefined)[]): Place[] =>
    addresses.flatMap((address) =>
      (ports ?? []).map((port) => {
        const isRight = address !== undefined && Number(port) >= 1 && Number(port) <= 65_535
        if (!isRight) throw notUnderstood(filter, 'it contains an invalid address or port')
        return { address, port: Number(port) }
      })
    )
  const ofVersion = (version: number): Place[] => {
    if (!versions.includes(version)) return []
    const named = hosts?.filter((host) => host.includes(':') === (version === 6))
    return places(named === undefined ? [0] : named.map(parseAddress))
  }
  const found = { ipv4: ofVersion(4), ipv6: ofVersion(6) }
  if (found.ipv4.length + found.ipv6.length === 0) throw notUnderstood(filter, 'no packet can match it')
  return found
}

/** The values of the alternatives in parentheses, or of a single one; undefined if one has another form. */
function alternatives(part: string, form: string): readonly string[] | undefined {
  const inner = /^\( ?(.*?) ?\)$/.exec(part)?.[1]
  const matches = (inner?.split(' or ') ?? [part]).map((one) => new RegExp(`^${form}$`).exec(one)?.[1])
  return matches.every((one) => one !== undefined) ? matches : undefined
}

function notUnderstood(filter: string, what: string): OperatorError {
  const hint =
    'Write it like "tcp and src host 10.0.0.2 and (src port 80 or src port 81)", or remove --manage-rules and install the rule yourself.'
  return new OperatorError('bad-rule', `no firewall rule can be made from the filter "${filter}": ${what}`, hint)
}
