/** Hints for when copying does not work: likely causes, most likely first, each with a command to check it. */

import { CONNECTIONS_LOST, type LostConnections, NO_ANSWERS, type NoAnswers } from '../daemon/copier/diagnosis.ts'
import { CONNECTIONS_OF_NO_USE, type MapWarning, TLS_LEFT_OUT, UNANSWERED } from '../daemon/copier/map-warnings.ts'

/** @returns the hint for a log message, if there is one */
export function explain(message: string, fields: unknown): string | undefined {
  // as: the message determines the type of its fields
  if (message === NO_ANSWERS) return explainNoAnswers(fields as NoAnswers)
  if (message === CONNECTIONS_LOST) return explainLostConnections(fields as LostConnections)
  if (message === CONNECTIONS_OF_NO_USE) return explainUselessConnections(fields as MapWarning)
  if (message === TLS_LEFT_OUT) return explainTls(fields as MapWarning)
  if (message === UNANSWERED) return explainUnanswered(fields as MapWarning)
  return undefined
}

function explainUselessConnections({ source, target }: MapWarning): string {
  const port = target.slice(target.lastIndexOf(':') + 1)
  return [
    `${source} to ${target}: after two connections in a row that the target ended without a useful answer, the copy of a ` +
      'client waits 10 s, doubling up to 10 min (reconnectPauses; its requests: dropped.reconnectPaused). ' +
      'Likely causes, most likely first:',
    '- the target refuses the log-in: its passwords differ, or a challenge makes a copied log-in worthless. Read its log; ' +
      'let it trust the copied clients',
    '- connections that were open before tcpcopy started lack their log-in or handshake: copy from the SYN on (-O)',
    '- the clients agree on TLS inside their protocol: its copy cannot be decrypted. Turn it off for them',
    `- the server on the target speaks another protocol, or ends each connection. On the target: tcpdump -nni any -A tcp port ${port}`
  ].join('\n  ')
}

function explainTls({ source, target }: MapWarning): string {
  return (
    `${source} to ${target}: the target cannot decrypt a copied TLS connection, because its keys differ from the source's ` +
    '(tlsLeftOut, dropped.tls). Capture behind the TLS terminator: start tcpcopy with -x for the port to which it forwards ' +
    'in clear text.'
  )
}

function explainUnanswered({ source, target, count, requests = 0 }: MapWarning): string {
  return [
    `${source} to ${target}: ${count} requests or ends of connections (of ${requests} requests) were sent although the ` +
      'answer to the request before was missing (epochTimeouts). Likely causes, most likely first:',
    '- the target is slower than the timeout: raise --epoch-timeout above its slowest answer',
    '- the target answers less often than the source, or both sides send whenever they like: do not wait (-W)',
    "- the target's answers do not all return. On the assistant: the statistics of intercept"
  ].join('\n  ')
}

function explainLostConnections({ synAcks, disowned }: LostConnections): string {
  return [
    `${disowned} of ${synAcks} connections were reset within 3 s, but not by the target. Likely causes, most likely first:`,
    "- a host that owns the client's address receives the target's answers, and resets connections that it never opened. " +
      "On the target: tcpdump -ni any 'tcp[tcpflags] & tcp-rst != 0' (shows RSTs from client addresses)",
    '- this happens if the assistant forwards the answers. On the assistant: sysctl net.ipv4.ip_forward (must be 0)',
    '- or if the target does not send its answers to the assistant. On the target: ip route get CLIENT-ADDRESS',
    '- to avoid it, use client addresses that nobody owns: -c',
    "- the target's listen queue is full and connections are reset. On the target: sysctl net.ipv4.tcp_abort_on_overflow; " +
      'nstat -az TcpExtListenOverflows'
  ].join('\n  ')
}

function explainNoAnswers(noAnswers: NoAnswers): string {
  const { source, target, syns, resets, sendRefused, channelsOpen } = noAnswers
  const [address, port] = target.split(':')
  const lines = [`${source} to ${target}: ${syns} SYNs sent, 0 SYN-ACKs. Likely causes, most likely first:`]
  if (sendRefused > 0) {
    lines.push(
      `- this host refused to send ${sendRefused} packets (another line has the errors). On this host: ` +
        `ip route get ${address}; nft list ruleset`
    )
  }
  if (channelsOpen === 0) {
    lines.push(
      '- intercept is not connected: it is not running, or a firewall blocks its port. On the assistant: ss -ltnp'
    )
  }
  if (resets > 0) {
    lines.push(
      `- ${resets} connections were reset: nothing listens on the target (there: ss -ltn sport = :${port}), or a host ` +
        `that owns the client's address received the answer (on the target: tcpdump -ni any 'tcp[tcpflags] & tcp-rst != 0')`
    )
  }
  lines.push(
    '- the target has no route to the clients via the assistant. On the target: ip route get CLIENT-ADDRESS',
    '- intercept runs on the target itself, and no firewall rule sends it the answers. On the target: ' +
      'iptables -t mangle -S OUTPUT; nft list ruleset',
    '- the target drops the copies as spoofed. On the target: sysctl net.ipv4.conf.all.rp_filter (with 1, the ' +
      'route to the clients must use the device on which the copies arrive)',
    '- the assistant forwards the answers instead of dropping them. On the assistant: sysctl net.ipv4.ip_forward (must be 0)',
    `- intercept's filter does not match. On the assistant: tcpdump -ni any tcp and src host ${address} and src port ${port}`,
    `- the copies are lost on the way (clouds drop foreign source addresses). On the target: tcpdump -ni any tcp dst port ${port}`
  )
  return lines.join('\n  ')
}
