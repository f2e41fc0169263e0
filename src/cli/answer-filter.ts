/** Filters whose meaning a firewall can be told. */
import { OperatorError } from '../errors.ts'
import { parseIpv4Address } from '../wire/address.ts'
import type { Place } from './rules.ts'

const HOST = String.raw`(?:ip )?src (?:host )?(\d+\.\d+\.\d+\.\d+)`
const PORT = String.raw`(?:tcp )?src port (\d+)`
const PROTOCOL = /^(?:ip|tcp|ip proto tcp)$/

/**
 * Where the answers come from that a pcap-filter(7) matches: each source address it names with each source port.
 *
 * Understood is `and` between `tcp`, `ip`, one or more `src host A` and one or more `src port P`, several of a kind in
 * brackets, joined by `or`. Everything else could mean more than a rule would say, or less.
 * @throws OperatorError `bad-rule`
 */
export function answerPlaces(filter: string): readonly Place[] {
  const text = filter.trim().replace(/\s+/g, ' ').replaceAll('&&', 'and').replaceAll('||', 'or')
  let hosts: readonly string[] | undefined
  let ports: readonly string[] | undefined
  for (const part of text.split(' and ')) {
    if (PROTOCOL.test(part)) continue
    const portsHere = alternatives(part, PORT)
    const hostsHere = alternatives(part, HOST)
    if (portsHere !== undefined && ports === undefined) ports = portsHere
    else if (hostsHere !== undefined && hosts === undefined) hosts = hostsHere
    else throw notUnderstood(filter, `"${part}" is not understood`)
  }
  if (ports === undefined) throw notUnderstood(filter, 'it names no src port')
  const addresses = (hosts ?? ['0.0.0.0']).map((host) => parseIpv4Address(host))
  return addresses.flatMap((address) =>
    (ports ?? []).map((port) => {
      const isRight = address !== undefined && Number(port) >= 1 && Number(port) <= 65_535
      if (!isRight) throw notUnderstood(filter, 'it names an address or a port that cannot be')
      return { address, port: Number(port) }
    })
  )
}

/** What each of the alternatives in brackets, or the only one without, says; undefined if it is something else. */
function alternatives(part: string, form: string): readonly string[] | undefined {
  const inner = /^\( ?(.*?) ?\)$/.exec(part)?.[1]
  const matches = (inner?.split(' or ') ?? [part]).map((one) => new RegExp(`^${form}$`).exec(one)?.[1])
  return matches.every((one) => one !== undefined) ? matches : undefined
}

function notUnderstood(filter: string, what: string): OperatorError {
  const hint =
    'Write it like "tcp and src host 10.0.0.2 and (src port 80 or src port 81)", or leave --manage-rules out and make the rule yourself.'
  return new OperatorError('bad-rule', `no firewall rule can be made of the filter "${filter}": ${what}`, hint)
}
