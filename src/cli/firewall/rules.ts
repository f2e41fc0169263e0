/** The firewall rules of the programs, in the syntax of iptables and nft. Pure. */
import { formatAddress } from '../../wire/address.ts'

/** Source or destination of segments: an address (0: any) and a TCP port. */
export interface Place {
  readonly address: number
  readonly port: number
}

/** What a rule does with its segments; this also determines its hook. */
type RuleAction =
  /** Queues what this host sends from the place. Without a reader it is dropped, or passes with `isBypass`. */
  | { readonly kind: 'queue'; readonly queue: number; readonly isBypass: boolean }
  /** Drops what comes from the place and is not for this host, before it could be forwarded. */
  | { readonly kind: 'drop' }
  /** Keeps what this host sends to the place out of connection tracking. */
  | { readonly kind: 'untrack' }

/** Rules that are installed and removed together. */
export interface RuleSet {
  /** IP version of all places. */
  readonly version: 4 | 6
  /**
   * Name by which the rules are found again, even after a kill: letters, digits, `-` and `.`, starting with a letter.
   */
  readonly mark: string
  readonly action: RuleAction
  readonly places: readonly Place[]
}

/**
 * Rules run before the filter tables, so that those still decide about packets that pass, and after connection
 * tracking, so that it sees both directions of the copies. `untrack` must run before connection tracking.
 *
 * Packets that would be forwarded are dropped before routing: a router may send the target an ICMP redirect before the
 * FORWARD chain, and the next answer would then go directly to the client.
 */
const hooks = {
  queue: { table: 'mangle', chain: 'OUTPUT', nftHook: 'output', nftPriority: -150 },
  drop: { table: 'mangle', chain: 'PREROUTING', nftHook: 'prerouting', nftPriority: -150 },
  untrack: { table: 'raw', chain: 'OUTPUT', nftHook: 'output', nftPriority: -300 }
} as const

/** Table and chain of a set. */
export function iptablesPlace({ action }: RuleSet): { readonly table: string; readonly chain: string } {
  return hooks[action.kind]
}

/**
 * Loopback traffic is not a copy, except for answers from 127.0.0.0/8 or ::1: these never leave the host, so client and
 * copy are both on it.
 */
function isLoopback(address: number): boolean {
  return address >>> 24 === 127 || formatAddress(address) === '::1'
}

/** The program for a set, where `name` is iptables or a variant of it. */
export function iptablesFor({ version }: RuleSet, name = 'iptables'): string {
  return version === 6 ? name.replace('iptables', 'ip6tables') : name
}

/** The nft family of a set. */
export function nftFamily({ version }: RuleSet): string {
  return version === 6 ? 'ip6' : 'ip'
}

/** The arguments after `-I CHAIN`, for each rule of the set. */
export function iptablesRules({ mark, action, places }: RuleSet): readonly (readonly string[])[] {
  const [addressOption, portOption] = action.kind === 'untrack' ? ['-d', '--dport'] : ['-s', '--sport']
  return places.map(({ address, port }) => [
    ...(action.kind === 'queue' && !isLoopback(address) ? ['!', '-o', 'lo'] : []),
    ...(action.kind === 'drop' ? ['-m', 'addrtype', '!', '--dst-type', 'LOCAL'] : []),
    ...['-p', 'tcp'],
    ...(address === 0 ? [] : [addressOption, formatAddress(address)]),
    ...[portOption, `${port}`],
    ...['-m', 'comment', '--comment', mark],
    ...iptablesTarget(action)
  ])
}

function iptablesTarget(action: RuleAction): readonly string[] {
  switch (action.kind) {
    case 'queue':
      return ['-j', 'NFQUEUE', '--queue-num', `${action.queue}`, ...(action.isBypass ? ['--queue-bypass'] : [])]
    case 'drop':
      return ['-j', 'DROP']
    case 'untrack':
      return ['-j', 'CT', '--notrack']
    default:
      return action satisfies never
  }
}

/** An nft script that atomically replaces the set's table. */
export function nftScript(set: RuleSet): string {
  const { mark, action, places } = set
  const family = nftFamily(set)
  const { nftHook, nftPriority } = hooks[action.kind]
  const [side, portOption] = action.kind === 'untrack' ? ['daddr', 'tcp dport'] : ['saddr', 'tcp sport']
  const rules = places.map(({ address, port }) =>
    [
      ...(action.kind === 'queue' && !isLoopback(address) ? ['oifname != "lo"'] : []),
      ...(action.kind === 'drop' ? ['fib daddr type != local'] : []),
      ...(address === 0 ? [] : [`${family} ${side} ${formatAddress(address)}`]),
      `${portOption} ${port}`,
      nftStatement(action)
    ].join(' ')
  )
  const chain = [`type filter hook ${nftHook} priority ${nftPriority}`, ...rules]
  // Adding an existing table is allowed, deleting a missing one is not.
  return [
    `add table ${family} ${mark}`,
    `delete table ${family} ${mark}`,
    `table ${family} ${mark} {`,
    '  chain rules {',
    ...chain.map((line) => `    ${line};`),
    '  };',
    '}',
    ''
  ].join('\n')
}

function nftStatement(action: RuleAction): string {
  switch (action.kind) {
    case 'queue':
      return `queue num ${action.queue}${action.isBypass ? ' bypass' : ''}`
    case 'drop':
      return 'drop'
    case 'untrack':
      return 'notrack'
    default:
      return action satisfies never
  }
}

/** The commands that install the rules by hand, for iptables or a variant of it. */
export function iptablesByHand(set: RuleSet, name = 'iptables'): string {
  const { table, chain } = iptablesPlace(set)
  return iptablesRules(set)
    .map((rule) => `${iptablesFor(set, name)} -t ${table} -I ${chain} ${rule.join(' ')}`)
    .join('; ')
}

/** Conditions that restrict a rule to some of the packets that this host sends. */
const NARROWER = /(?:^| )(?:!|-s|-i|-o)(?: |$)|saddr|sport|ifname|PREROUTING/

/**
 * Whether one of the rules, as listed by iptables or nft, excludes packets to the place from connection tracking: a
 * notrack rule for this address and port, or for any.
 */
export function isUntracked(rules: readonly string[], place: Place): boolean {
  return rules.some((rule) => {
    if (!/notrack/i.test(rule) || NARROWER.test(rule)) return false
    const address = /(?:-d|daddr) (\S+)/.exec(rule)?.[1]?.replace(/\/(?:32|128)$/, '')
    const port = /dports? (\S+)/.exec(rule)?.[1]
    const isAddress = address === undefined || address === formatAddress(place.address)
    return isAddress && (port === undefined || port === `${place.port}`)
  })
}
