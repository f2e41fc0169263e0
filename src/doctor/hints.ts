/** Hints for warnings: the likely causes, most likely first, each with a command to check it. */
import { causesOf } from './causes.ts'
import type { LostConnections, NoAnswers } from './evidence.ts'
import {
  ALL_REFUSED,
  CONNECTIONS_LOST,
  CONNECTIONS_OF_NO_USE,
  type MapWarning,
  NO_ANSWERS,
  SOME_UNANSWERED,
  type SomeUnanswered,
  TLS_LEFT_OUT,
  UNANSWERED
} from './symptoms.ts'

/** @returns the hint for a log message, if there is one */
export function explain(message: string, fields: unknown): string | undefined {
  // as: the message determines the type of its fields
  if (message === NO_ANSWERS || message === ALL_REFUSED) return explainNoAnswers(fields as NoAnswers)
  if (message === CONNECTIONS_LOST) return explainLostConnections(fields as LostConnections)
  if (message === SOME_UNANSWERED) return explainSomeUnanswered(fields as SomeUnanswered)
  if (message === CONNECTIONS_OF_NO_USE) return explainUselessConnections(fields as MapWarning)
  if (message === TLS_LEFT_OUT) return explainTls(fields as MapWarning)
  if (message === UNANSWERED) return explainUnanswered(fields as MapWarning)
  return undefined
}

function explainNoAnswers(evidence: NoAnswers): string {
  const { source, target, connections, refused } = evidence
  const causes = causesOf(evidence)
  const opened = `${connections} ${connections === 1 ? 'connection' : 'connections'} not accepted${refused > 0 ? `, ${refused} refused` : ''}`
  const intro = causes.length === 1 ? 'The cause' : 'Likely causes, most likely first'
  return [`${source} to ${target}: ${opened}. ${intro}:`, ...causes.map(({ text }) => `- ${text}`)].join('\n  ')
}

function explainSomeUnanswered({ source, target, connections, unanswered, networks }: SomeUnanswered): string {
  const client = networks[0]?.split('/')[0] ?? 'CLIENT-ADDRESS'
  return [
    `${source} to ${target}: ${unanswered} of ${connections} connections are of clients that get no answer at all, while ` +
      `others are answered. These clients are in ${networks.join(', ')} (connections). Likely causes, most likely first:`,
    `- the target has no route to them via the assistant. On the target: ip ${client.includes(':') ? '-6 ' : ''}route get ${client}`,
    '- the target or a firewall on the way does not accept their addresses. On the target: nft list ruleset; sysctl ' +
      'net.ipv4.conf.all.rp_filter'
  ].join('\n  ')
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

function explainLostConnections({ synAcks, disowned, intercept }: LostConnections): string {
  const forwards = '- the assistant forwards the answers. On the assistant: sysctl net.ipv4.ip_forward (must be 0)'
  const isForwarding = intercept?.forwards === true
  return [
    `${disowned} of ${synAcks} connections were reset within 3 s, but not by the target. Likely causes, most likely first:`,
    ...(isForwarding ? [`${forwards}. It is on`] : []),
    "- a host that owns the client's address receives the target's answers, and resets connections that it never opened. " +
      "On the target: tcpdump -ni any 'tcp[tcpflags] & tcp-rst != 0' (shows RSTs from client addresses)",
    ...(intercept === undefined ? [forwards] : []),
    '- the target does not send its answers to the assistant. On the target: ip route get CLIENT-ADDRESS',
    '- to avoid it, use client addresses that nobody owns: -c',
    "- the target's listen queue is full and connections are reset. On the target: sysctl net.ipv4.tcp_abort_on_overflow; " +
      'nstat -az TcpExtListenOverflows'
  ].join('\n  ')
}
