/** The rules that --manage-rules makes. */
import type { Host } from '../../../lab/hosts/host.ts'

/** How many rules of ours a host has, by any of the firewall's programs: those for IPv4, those for IPv6. */
export async function ourRules(host: Host, table: 'mangle' | 'raw'): Promise<readonly [ipv4: number, ipv6: number]> {
  const count = async (family: string, iptables: string): Promise<number> => {
    const listings = await Promise.all([
      host.mustRun('nft', ['list', 'ruleset', family]),
      host.mustRun(iptables, ['-t', table, '-S']),
      host.mustRun(`${iptables}-legacy`, ['-t', table, '-S'])
    ])
    return listings.join('\n').match(/(?:table ip6?|--comment) "?tcpcopy-/g)?.length ?? 0
  }
  return [await count('ip', 'iptables'), await count('ip6', 'ip6tables')]
}
