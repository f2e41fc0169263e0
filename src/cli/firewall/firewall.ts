/** `--manage-rules`: installs firewall rules and removes them. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { OperatorError } from '../../errors.ts'
import type { Log } from '../../ports.ts'
import {
  iptablesByHand,
  iptablesFor,
  iptablesPlace,
  iptablesRules,
  nftFamily,
  nftScript,
  type RuleSet
} from './rules.ts'

/** `auto` uses iptables of either kind, or nft if that fails. */
export const firewallNames = ['auto', 'iptables', 'iptables-legacy', 'nft'] as const
export type FirewallName = (typeof firewallNames)[number]

const PATIENCE_MS = 10_000
/** Seconds that iptables waits for its lock. */
const LOCK_PATIENCE_S = '5'

/** Manages rules with one firewall program. */
interface Backend {
  /**
   * Installs the set, replacing rules with the same mark; the old rules stay until the new ones are in place. @throws
   * Error
   */
  install(set: RuleSet): void
  /** Removes all rules with the mark. @throws Error */
  remove(set: RuleSet): void
  /** The command that removes the set by hand. */
  removal(set: RuleSet): string
}

/** Runs a program. @returns its stdout @throws Error with the first line of its stderr */
function run(program: string, args: readonly string[], input = ''): string {
  const path = [process.env.PATH, '/usr/local/sbin', '/usr/sbin', '/sbin'].join(':')
  const env = { ...process.env, PATH: path, LC_ALL: 'C' }
  try {
    return execFileSync(program, args, { env, input, timeout: PATIENCE_MS, encoding: 'utf8', stdio: 'pipe' })
  } catch (cause) {
    throw new Error(`${program}: ${reasonOf(cause)}`, { cause })
  }
}

function reasonOf(cause: unknown): string {
  const { code, stderr } = Object(cause) as { readonly code?: unknown; readonly stderr?: unknown } // as: execFileSync throws it
  if (code === 'ENOENT') return 'not installed'
  const lines = String(stderr ?? '').split('\n')
  const line = lines.find((one) => one.trim() !== '' && !one.startsWith('#'))
  const reason = line?.trim().replace(/^\S+ v\S+ \(\S+\): /, '') ?? String(cause)
  // Root without the capability is refused as well.
  return reason.replace(/ \(you must be root\)$/, '')
}

function iptablesBackend(program: string): Backend {
  const iptables = (set: RuleSet, command: string, rule: readonly string[]): string => {
    const { table, chain } = iptablesPlace(set)
    return run(iptablesFor(set, program), ['-w', LOCK_PATIENCE_S, '-t', table, command, chain, ...rule])
  }
  /** The rules with the mark, as arguments of `-D`. */
  const marked = (set: RuleSet): readonly (readonly string[])[] =>
    iptables(set, '-S', [])
      .split('\n')
      .map((line) => line.split(' ').map((word) => word.replaceAll('"', '')))
      .filter((words) => words[0] === '-A' && words[words.indexOf('--comment') + 1] === set.mark)
      .map((words) => words.slice(2))
  const removeAll = (set: RuleSet, rules: readonly (readonly string[])[]): void => {
    for (const rule of rules) iptables(set, '-D', rule)
  }
  return {
    install(set) {
      const before = marked(set)
      for (const rule of iptablesRules(set)) iptables(set, '-I', rule)
      removeAll(set, before)
    },
    remove: (set) => removeAll(set, marked(set)),
    removal(set) {
      return iptablesByHand(set, program).replaceAll(' -I ', ' -D ')
    }
  }
}

const nftBackend: Backend = {
  install: (set) => void run('nft', ['-f', '-'], nftScript(set)),
  // Add the table first: deleting one that does not exist fails.
  remove(set) {
    const table = `table ${nftFamily(set)} ${set.mark}`
    run('nft', ['-f', '-'], `add ${table}\ndelete ${table}\n`)
  },
  removal: (set) => `nft delete table ${nftFamily(set)} ${set.mark}`
}

function backends(name: FirewallName): readonly Backend[] {
  if (name === 'nft') return [nftBackend]
  if (name === 'auto') return [iptablesBackend('iptables'), nftBackend]
  return [iptablesBackend(name)]
}

export class Firewall {
  readonly #name: FirewallName
  readonly #sets: readonly RuleSet[]
  /** The backend that installed the rules; undefined without rules. */
  #backend: Backend | undefined

  constructor(name: FirewallName, sets: readonly RuleSet[]) {
    this.#name = name
    this.#sets = sets
  }

  /**
   * Installs the rules, replacing those of an earlier run. They are removed when the process exits for any reason but
   * SIGKILL.
   * @throws OperatorError `no-rule`, without leaving rules behind
   */
  install(log: Log): void {
    const reasons: string[] = []
    for (const backend of backends(this.#name)) {
      try {
        for (const set of this.#sets) backend.install(set)
        this.#backend = backend
        process.once('exit', () => this.#remove(log))
        for (const set of this.#sets) log('info', 'firewall rule installed', { undo: backend.removal(set) })
        return
      } catch (error) {
        reasons.push(error instanceof Error ? error.message : String(error))
        for (const set of this.#sets) attempt(() => backend.remove(set))
      }
    }
    const byHand = this.#sets.map((set) => iptablesByHand(set)).join('; ')
    const hint = `${privilegeHint()}, or remove --manage-rules and install the rule yourself: ${byHand}`
    throw new OperatorError('no-rule', `the firewall rule cannot be installed: ${reasons.join('; ')}`, hint)
  }

  #remove(log: Log): void {
    const backend = this.#backend
    if (backend === undefined) return
    this.#backend = undefined
    for (const set of this.#sets) {
      const failure = attempt(() => backend.remove(set))
      if (failure === undefined) log('info', 'firewall rule removed', { rule: set.mark })
      else log('error', 'the firewall rule could not be removed', { reason: failure, hint: backend.removal(set) })
    }
  }
}

/** The bit of CAP_NET_ADMIN, capabilities(7). */
const CAP_NET_ADMIN = 12n

/** What the programs that install rules lack. They inherit ambient capabilities only, unless root starts them. */
function privilegeHint(): string {
  const status = readFileSync('/proc/self/status', 'latin1')
  const has = (set: string): boolean =>
    ((BigInt(`0x${new RegExp(`^${set}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '0'}`) >> CAP_NET_ADMIN) & 1n) === 1n
  const isRoot = /^Uid:\s*\d+\s+0\s/m.test(status)
  if (isRoot && !has('CapEff'))
    return 'This process lacks CAP_NET_ADMIN, though it is root: grant it (in containers: --cap-add NET_ADMIN)'
  if (!isRoot && !has('CapAmb')) {
    return (
      'Changing rules needs CAP_NET_ADMIN: run as root, or grant it as an ambient capability, which iptables and nft inherit ' +
      '(systemd: AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW)'
    )
  }
  return 'Install iptables or nftables'
}

/** @returns the error message; undefined on success */
function attempt(step: () => void): string | undefined {
  try {
    step()
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** The rules of this host's firewalls that may concern connection tracking, one per line. */
export function listRules(version: 4 | 6): readonly string[] {
  const [family, legacy, names] =
    version === 6 ? ['ip6', 'ip6tables-legacy', 'ip6_tables_names'] : ['ip', 'iptables-legacy', 'ip_tables_names']
  const listings = [
    ...[family, 'inet'].map((one) => () => run('nft', ['list', 'ruleset', one])),
    // iptables-legacy creates a table when it is listed, so list only existing ones.
    () => (mayHaveLegacyTable(names, 'raw') ? run(legacy, ['-t', 'raw', '-S']) : '')
  ]
  return listings.flatMap((list) => {
    let text = ''
    attempt(() => {
      text = list()
    })
    return text.split('\n')
  })
}

/** The rules of this host's firewalls that may translate addresses, one per line. */
export function listTranslations(): readonly string[] {
  const listings = [
    () => run('nft', ['-n', 'list', 'ruleset']),
    () => (mayHaveLegacyTable('ip_tables_names', 'nat') ? run('iptables-legacy', ['-t', 'nat', '-S']) : '')
  ]
  return listings.flatMap((list) => {
    let text = ''
    attempt(() => {
      text = list()
    })
    return text.split('\n')
  })
}

/** Whether a legacy (pre-nftables) table exists, or may exist: only root can read the list. */
function mayHaveLegacyTable(names: string, name: string): boolean {
  try {
    return readFileSync(`/proc/self/net/${names}`, 'latin1').split('\n').includes(name)
  } catch (error) {
    return Object(error).code === 'EACCES'
  }
}
