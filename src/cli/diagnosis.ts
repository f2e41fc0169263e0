/** What to look at when nothing comes back: the likely causes in order, each with the command that tells. */
import type { Silence } from '../daemon/copier.ts'

export function explainSilence(silence: Silence): string {
  const { source, target, syns, resets, sendRefused, channelsOpen } = silence
  const [address, port] = target.split(':')
  const lines = [`${source} to ${target}: ${syns} SYNs sent, 0 SYN-ACKs. Likely causes, the likeliest first:`]
  if (sendRefused > 0) {
    lines.push(
      `- this host refuses to send: ${sendRefused} packets (the errors are in a line of their own). On this host: ` +
        `ip route get ${address}; nft list ruleset`
    )
  }
  if (channelsOpen === 0) {
    lines.push(
      '- intercept is not connected: is it running, does a firewall let us through? On the assistant: ss -ltnp'
    )
  }
  if (resets > 0) {
    lines.push(
      `- ${resets} connections were reset: nothing listens there (on the target: ss -ltn sport = :${port}), or a host ` +
        `that owns the client's address got the answer (on the target: tcpdump -ni any 'tcp[tcpflags] & tcp-rst != 0')`
    )
  }
  lines.push(
    '- the target has no route for the clients via the assistant. On the target: ip route get ADDRESS-OF-A-CLIENT',
    '- intercept runs on the target itself, and no firewall rule brings it the answers. On the target: ' +
      'iptables -t mangle -S OUTPUT; nft list ruleset',
    '- the target drops the copies as spoofed. On the target: sysctl net.ipv4.conf.all.rp_filter (1 needs the route to ' +
      'the clients to leave through the device on which the copies arrive)',
    '- the assistant forwards the answers instead of keeping them. On it: sysctl net.ipv4.ip_forward (must be 0)',
    `- intercept's filter does not match. On the assistant: tcpdump -ni any tcp and src host ${address} and src port ${port}`,
    `- the copies are lost on the way (clouds drop foreign addresses). On the target: tcpdump -ni any tcp dst port ${port}`
  )
  return lines.join('\n  ')
}
