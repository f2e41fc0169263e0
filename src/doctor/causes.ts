/**
 * The causes why a target does not answer, with what speaks for each and what to do. One table for every part that
 * explains it. The order of the table decides only between causes for which equally much speaks.
 */
import { getSystemErrorName } from 'node:util'
import type { InterceptView, NoAnswers } from './evidence.ts'

/** How much speaks for a cause. */
const Weight = {
  /** The evidence excludes it. */
  Excluded: 0,
  /** Nothing speaks against it. */
  Possible: 1,
  /** Something speaks for it. */
  Likely: 2,
  /** It was seen, and is enough to stop the copy. */
  Seen: 3
} as const
type Weight = (typeof Weight)[keyof typeof Weight]

interface Cause {
  readonly name: string
  weigh(evidence: NoAnswers): Weight
  /** What is wrong, and what to check or to do. */
  text(evidence: NoAnswers): string
}

/** Initial values of TTL in use. */
const TTLS = [64, 128, 255]

/** Routers on the way of a packet, if its TTL began as usual. */
function hopsOf(ttl: number): number {
  return (TTLS.find((first) => first >= ttl) ?? 255) - ttl
}

/** Whether SYN-ACKs of the target have reached the assistant. */
function arrives({ intercept }: NoAnswers): boolean {
  return intercept !== undefined && (intercept.hasRouted || intercept.hasUnrouted)
}

/** Whether something came back from the target, so copies reach it. */
function isReached(evidence: NoAnswers): boolean {
  return arrives(evidence) || evidence.refused > 0 || evidence.answeredOthers > 0
}

/** For causes that only silence speaks for. */
function ifSilent(evidence: NoAnswers): Weight {
  return isReached(evidence) ? Weight.Excluded : Weight.Possible
}

function seenIn(part: number, whole: number): Weight {
  if (part === 0) return Weight.Excluded
  return part >= whole ? Weight.Seen : Weight.Likely
}

function addressOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(':')).replace(/[[\]]/g, '')
}

function portOf(endpoint: string): string {
  return endpoint.slice(endpoint.lastIndexOf(':') + 1)
}

function clientOf({ client = 'CLIENT-ADDRESS' }: NoAnswers): string {
  return client
}

function isIpv6(evidence: NoAnswers): boolean {
  return addressOf(evidence.target).includes(':')
}

/** What to do about a refusal to send, by errno. */
const SEND_ADVICE: Readonly<Record<string, string>> = {
  EPERM:
    'its firewall drops the copies, or its conntrack table is full. On this host: nft list ruleset; iptables -S OUTPUT',
  EMSGSIZE: 'packets are larger than the MTU of the device. Set -M to the path MTU',
  EAGAIN: 'packets come faster than the device sends. Limit them with --max-rate',
  ENOBUFS: 'packets come faster than the device sends. Limit them with --max-rate'
}

function sendAdvice(errno: string, target: string): string {
  return SEND_ADVICE[errno] ?? `there is no way to the target. On this host: ip route get ${addressOf(target)}`
}

function sendRefusedText({ sendRefused, target }: NoAnswers): string {
  const parts = Object.entries(sendRefused).map(([errno, count]) => {
    const name = getSystemErrorName(-Number(errno))
    return `${packets(count)} (${name}): ${sendAdvice(name, target)}`
  })
  return `this host refused to send ${parts.join('; ')}`
}

function packets(count: number): string {
  return `${count} ${count === 1 ? 'packet' : 'packets'}`
}

function ofConnections(part: number, { connections }: NoAnswers): string {
  return part >= connections ? 'all' : `${part} of ${connections}`
}

/** Who sent the resets, as far as TTLs tell. */
function resetSender({ intercept, target }: NoAnswers): string {
  const port = portOf(target)
  const listens = `nothing listens on port ${port} there (on the target: ss -ltn sport = :${port})`
  const drops = 'a firewall rejects the copies (on the target: nft list ruleset)'
  if (intercept === undefined || intercept.resetTtl === 0) return `${listens}, or ${drops}`
  const { resetTtl, synAckTtl } = intercept
  if (synAckTtl > 0 && synAckTtl !== resetTtl) {
    return `their TTL is ${resetTtl}, that of its SYN-ACKs ${synAckTtl}, so another host sends them: a firewall on the way`
  }
  const hops = hopsOf(resetTtl)
  const sender = hops === 0 ? 'a host on the same network' : `a host ${hops} ${hops === 1 ? 'router' : 'routers'} away`
  return `they come from ${sender} (TTL ${resetTtl}): ${listens}, or ${drops}`
}

function seesText({ routes, capturesAny }: InterceptView): string {
  return `intercept has ${routes} routes and ${capturesAny ? 'captures packets, but none of this target' : 'captures nothing'}`
}

const CAUSES: readonly Cause[] = [
  {
    name: 'channel-closed',
    weigh: ({ channelsOpen }) => (channelsOpen === 0 ? Weight.Seen : Weight.Excluded),
    text: () =>
      'intercept is not connected: it is not running, or a firewall blocks its port. On the assistant: ss -ltnp; here: -s and -p'
  },
  {
    name: 'no-route-to-target',
    weigh: ({ path }) => (path.state === 'none' ? Weight.Seen : Weight.Excluded),
    text: ({ target }) => `this host has no route to the target. On this host: ip route get ${addressOf(target)}`
  },
  {
    name: 'neighbour-unresolved',
    weigh: (evidence) => (evidence.path.state === 'unresolved' && !isReached(evidence) ? Weight.Seen : Weight.Excluded),
    text: (evidence) =>
      `the next hop ${evidence.path.hop} does not answer ${isIpv6(evidence) ? 'neighbour solicitations' : 'ARP'}: it is ` +
      'down, or in another network. On this host: ip neigh'
  },
  {
    name: 'send-refused',
    weigh: ({ sendRefused, connections }) =>
      seenIn(
        Object.values(sendRefused).reduce((total, count) => total + count, 0),
        connections
      ),
    text: sendRefusedText
  },
  {
    name: 'loopback-client',
    weigh: (evidence) => seenIn(evidence.loopback, evidence.connections),
    text: (evidence) =>
      `clients connect from the loopback address (${ofConnections(evidence.loopback, evidence)}), which no other host can ` +
      'answer. Give them another address: -H'
  },
  {
    name: 'own-address',
    weigh: (evidence) => seenIn(evidence.ownAddress, evidence.connections),
    text: (evidence) =>
      `the copies have an address of this host (${ofConnections(evidence.ownAddress, evidence)}), so the target answers this ` +
      'host and not intercept. Give them another address: -c'
  },
  {
    name: 'unrouted',
    weigh: ({ intercept }) => {
      if (intercept?.hasUnrouted !== true) return Weight.Excluded
      return intercept.hasRouted ? Weight.Likely : Weight.Seen
    },
    text: ({ target }) =>
      `intercept receives SYN-ACKs of ${target}, but not for the clients that tcpcopy announced: something translates ` +
      'addresses on the way (intercept -D undoes it), or only one of the programs has --single'
  },
  {
    name: 'refused',
    weigh: (evidence) => seenIn(evidence.refused, evidence.connections),
    text: (evidence) =>
      `the target answers with resets (${ofConnections(evidence.refused, evidence)}): ${resetSender(evidence)}`
  },
  {
    name: 'listener-full',
    weigh: ({ answeredOthers, refused }) => (answeredOthers > 0 && refused === 0 ? Weight.Likely : Weight.Excluded),
    text: ({ target }) =>
      'the target still answers open connections, so its listen queue is full, or it limits new connections. On the target: ' +
      `ss -ltn sport = :${portOf(target)} (Recv-Q above Send-Q); nstat -az TcpExtListenOverflows TcpExtListenDrops`
  },
  {
    name: 'truncated',
    weigh: ({ truncated }) => (truncated > 0 ? Weight.Likely : Weight.Excluded),
    text: ({ truncated, truncatedLength }) =>
      `${packets(truncated)} arrived truncated in the capture` +
      `${truncatedLength > 0 ? `, of up to ${truncatedLength} bytes` : ''}, and were not copied. Capture whole packets: -S, -B`
  },
  {
    name: 'lost-answers',
    weigh: ({ intercept, channelsOpen }) =>
      intercept?.hasRouted === true && channelsOpen > 0 ? Weight.Likely : Weight.Excluded,
    text: () =>
      'intercept returned SYN-ACKs, but they did not fit the connections that wait: another tcpcopy has the same clients ' +
      '(use -c or -f), or the channel is congested (backlogDropped of intercept)'
  },
  {
    name: 'no-route-to-clients',
    weigh: (evidence) => (evidence.isOnTarget ? Weight.Excluded : ifSilent(evidence)),
    text: (evidence) =>
      `the target has no route to the clients via the assistant${evidence.intercept === undefined ? '' : ` (${seesText(evidence.intercept)})`}. ` +
      `On the target: ip ${isIpv6(evidence) ? '-6 ' : ''}route get ${clientOf(evidence)}`
  },
  {
    name: 'no-queue-rule',
    weigh: (evidence) => (evidence.isOnTarget ? ifSilent(evidence) : Weight.Excluded),
    text: () =>
      'no firewall rule of the target sends the answers to intercept. On the target: iptables -t mangle -S OUTPUT; nft list ' +
      'ruleset; or start intercept with --manage-rules'
  },
  {
    name: 'spoofed',
    weigh: (evidence) => (isIpv6(evidence) ? Weight.Excluded : ifSilent(evidence)),
    text: () =>
      'the target drops the copies as spoofed. On the target: sysctl net.ipv4.conf.all.rp_filter (with 1, the route to the ' +
      'clients must use the device on which the copies arrive)'
  },
  {
    name: 'assistant-forwards',
    weigh: ({ intercept, isOnTarget }) => {
      if (isOnTarget) return Weight.Excluded
      if (intercept === undefined) return Weight.Possible
      return intercept.forwards ? Weight.Seen : Weight.Excluded
    },
    text: ({ intercept }) =>
      intercept?.forwards === true
        ? "the assistant forwards packets, so the target's answers reach the clients. On the assistant: sysctl -w " +
          'net.ipv4.ip_forward=0, or --manage-rules'
        : 'the assistant forwards the answers instead of dropping them. On the assistant: sysctl net.ipv4.ip_forward (must be 0)'
  },
  {
    name: 'filter',
    weigh: (evidence) => (evidence.isOnTarget ? Weight.Excluded : ifSilent(evidence)),
    text: ({ target }) =>
      "intercept's filter or device does not match. On the assistant: " +
      `tcpdump -nni any tcp and src host ${addressOf(target)} and src port ${portOf(target)}; compare -F and -i`
  },
  {
    name: 'lost-on-the-way',
    weigh: ifSilent,
    text: ({ target }) =>
      'the copies are lost on the way (clouds and switches drop foreign source addresses). On the target: ' +
      `tcpdump -nni any tcp dst port ${portOf(target)}`
  }
]

/** A cause that the evidence does not exclude. */
export interface WeighedCause {
  readonly name: string
  readonly weight: Weight
  readonly text: string
}

/**
 * The causes that explain the evidence, the one for which most speaks first. If something was seen that is enough to stop
 * the copy, what is merely possible is left out.
 */
export function causesOf(evidence: NoAnswers): readonly WeighedCause[] {
  const weighed = CAUSES.map((cause) => ({ name: cause.name, weight: cause.weigh(evidence), cause }))
    .filter(({ weight }) => weight !== Weight.Excluded)
    .sort((one, other) => other.weight - one.weight)
  const least = weighed[0]?.weight === Weight.Seen ? Weight.Likely : Weight.Possible
  return weighed
    .filter(({ weight }) => weight >= least)
    .map(({ name, weight, cause }) => ({ name, weight, text: cause.text(evidence) }))
}
