/** The firewall rules that the programs need, as iptables and as nft put them. Pure. */
import { formatAddress } from '../../wire/address.ts'

/** Where segments come from or go to: an address, 0 is any; and a TCP port. */
export interface Place {
  readonly address: number
  readonly port: number
}

/** What happens to the segments of a rule, which also says where it looks. */
type RuleAction =
  /** What this host sends from the place is given to a queue; without a reader it is dropped, or let out. */
  | { readonly kind: 'queue'; readonly queue: number; readonly isBypass: boolean }
  /** What comes from the place and is not for this host is dropped, before it could be forwarded. */
  | { readonly kind: 'drop' }
  /** What this host sends to the place stays out of connection tracking. */
  | { readonly kind: 'untrack' }

/** Rules that come and go together. */
export interface RuleSet {
  /** Of IP; all places are of it. */
  readonly version: 4 | 6
  /** By this name they are found again, also after a kill: letters, digits, `-` and `.`, a letter first. */
  readonly mark: string
  readonly action: RuleAction
  readonly places: readonly Place[]
}

/**
 * Before the filter tables, whose verdicts so go on to hold for what passes; behind connection tracking, which so sees
 * both sides of the copies. Tracking itself can be avoided only before it.
 *
 * What would be forwarded is dropped before it is routed: a host that routes it may tell the target of a shorter way (an
 * ICMP redirect, sent before the FORWARD chain), by which the next answer would go to the client itself.
 */
const hooks = {
  queue: { table: 'mangle', chain: 'OUTPUT', nftHook: 'output', nftPriority: -150 },
  drop: { table: 'mangle', chain: 'PREROUTING', nftHook: 'prerouting', nftPriority: -150 },
  untrack: { table: 'raw', chain: 'OUTPUT', nftHook: 'output', nftPriority: -300 }
} as const

/** Table and chain of a set: the beginning of every command about it. */
export function iptablesPlace({ action }: RuleSet): { readonly table: string; readonly chain: string } {
  return hooks[action.kind]
}

/**
 * What a host says to itself is nobody's copy, unless the answers come from 127.0.0.0/8 or ::1: those never leave it, so
 * that client and copy are both on this host.
 */
function isLoopback(address: number): boolean {
  return address >>> 24 === 127 || formatAddress(address) === '::1'
}

/** The program for the rules of a set, where `name` is iptables or one of its kinds. */
export function iptablesFor({ version }: RuleSet, name = 'iptables'): string {
  return version === 6 ? name.replace('iptables', 'ip6tables') : name
}

/** The family of tables for a set. */
export function nftFamily({ version }: RuleSet): string {
  return version === 6 ? 'ip6' : 'ip'
}

/** What follows `-I CHAIN`, for each rule of the set. */
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

/** A script that puts the set, as a table of its own, in the place of what the table was, in one step. */
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
  // A table that is not there cannot be deleted; one that is there can be added.
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

/** The commands that make the rules by hand, for iptables or another of its kinds. */
export function iptablesByHand(set: RuleSet, name = 'iptables'): string {
  const { table, chain } = iptablesPlace(set)
  return iptablesRules(set)
    .map((rule) => `${iptablesFor(set, name)} -t ${table} -I ${chain} ${rule.join(' ')}`)
    .join('; ')
}

/** What makes a rule hold for some of the packets that this host sends only. */
const NARROWER = /(?:^| )(?:!|-s|-i|-o)(?: |$)|saddr|sport|ifname|PREROUTING/

/**
 * Whether one of the rules, as iptables or nft list them, keeps what goes to the place out of connection tracking: it
 * says notrack, for this address and port or for any.
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
