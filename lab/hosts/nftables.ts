/** Tables of nftables on a host of the lab. They vanish with the host. */
import type { Host } from './host.ts'

type Family = 'ip' | 'ip6'

/** Makes a table with one filter chain, which holds these rules. */
export async function addRules(
  host: Host,
  family: Family,
  table: string,
  hook: 'input' | 'output',
  ...rules: readonly string[]
): Promise<void> {
  await host.mustRun('nft', [`add table ${family} ${table}`])
  await host.mustRun('nft', [`add chain ${family} ${table} rules { type filter hook ${hook} priority 0; }`])
  for (const rule of rules) await host.mustRun('nft', [`add rule ${family} ${table} rules ${rule}`])
}

/**
 * Counts packets that match, in a table `seen`.
 * @returns a function that reads the counter
 */
export async function countPackets(
  host: Host,
  family: Family,
  hook: 'input' | 'output',
  match: string
): Promise<() => Promise<number>> {
  await addRules(host, family, 'seen', hook, `${match} counter`)
  return async () => {
    const table = await host.mustRun('nft', [`list table ${family} seen`])
    return Number(/packets (\d+)/.exec(table)?.[1] ?? Number.NaN)
  }
}
