/** What to look at when nothing comes back: the likely causes in order, each with the command that tells. */
import { formatAddress, formatEndpoint } from '../wire/address.ts'

export interface Silence {
  readonly targetAddress: number
  readonly targetPort: number
  readonly sourcePort: number
  readonly syns: number
  readonly channelsOpen: number
  /** Sessions that the target reset or refused. */
  readonly refused: number
}

export function explainSilence(silence: Silence): string {
  const target = formatAddress(silence.targetAddress)
  const port = silence.targetPort
  const lines = [
    `${silence.syns} SYNs sent to ${formatEndpoint(silence.targetAddress, port)}, 0 SYN-ACKs. Likely causes:`
  ]
  if (silence.channelsOpen === 0) {
    lines.push('- intercept is not connected: is it running? On the assistant: ss -ltn sport = :36524')
  }
  if (silence.refused > 0) {
    lines.push(
      `- ${silence.refused} connections were reset: nothing listens there (on the target: ss -ltn sport = :${port}), or a ` +
        `host that owns the client's address answered (on the target: tcpdump -ni any 'tcp[tcpflags] & tcp-rst != 0')`
    )
  }
  lines.push(
    `- the target has no route for the clients via the assistant. On the target: ip route get CLIENT`,
    `- the target drops the copies as spoofed. On the target: sysctl net.ipv4.conf.all.rp_filter (must not be 1 there ` +
      `unless the route to the clients uses the same device)`,
    `- the assistant forwards the answers instead of keeping them. On it: sysctl net.ipv4.ip_forward (must be 0)`,
    `- intercept's filter does not match. On the assistant: tcpdump -ni any tcp and src host ${target} and src port ${port}`,
    `- the copies are dropped on the way (clouds drop foreign addresses). On the target: tcpdump -ni any tcp dst port ${port}`
  )
  return lines.join('\n  ')
}
