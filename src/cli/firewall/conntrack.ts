/**
 * Connection tracking on the source. Routed copies enter it, but the target's answers take another path, so their
 * connections are never established there.
 */
import type { CopyMap } from '../../core/selection/mapping.ts'
import { conntrackCount } from '../../io/linux/netlink/devices.ts'
import { formatAddress, formatEndpoint } from '../../wire/address.ts'
import { isIpv6 } from '../../wire/address-book.ts'
import { listRules } from './firewall.ts'
import { iptablesByHand, isUntracked, nftScript, type Place, type RuleSet } from './rules.ts'

/**
 * Rules that keep the copies to each target out of connection tracking. Each has its own name, because two tcpcopy may
 * share a target.
 */
export function untrackRules(maps: readonly CopyMap[]): readonly RuleSet[] {
  return placesOf(maps).map((place) => ({
    version: isIpv6(place.address) ? 6 : 4,
    mark: `tcpcopy-copies-to-${formatAddress(place.address).replaceAll(':', '-')}-${place.port}`,
    action: { kind: 'untrack' },
    places: [place]
  }))
}

/** Warnings for the start, if this host tracks connections and no rule excludes the copies. */
export function conntrackWarnings(maps: readonly CopyMap[]): readonly string[] {
  const count = conntrackCount()
  if (count === 0) return []
  const sets = untrackRules(maps).filter(({ version, places }) => {
    const rules = listRules(version)
    return !places.every((place) => isUntracked(rules, place))
  })
  if (sets.length === 0) return []
  const nft = sets.map((set) =>
    nftScript(set)
      .replace(/^(?:add|delete) .*\n/gm, '')
      .replace(/\s+/g, ' ')
      .trim()
  )
  return [
    `this host tracks connections (${count} now): each copied connection leaves an entry for 120 s, and firewall rules ` +
      'that drop invalid packets drop the copies\n  Use --send link or --manage-rules, or install the rule yourself: ' +
      `${sets.map((set) => iptablesByHand(set)).join('; ')}\n  Or with nft: ${nft.map((text) => `nft '${text}'`).join('; ')}`
  ]
}

function placesOf(maps: readonly CopyMap[]): readonly Place[] {
  const byName = new Map(maps.map((map) => [formatEndpoint(map.targetAddress, map.targetPort), map]))
  return [...byName.values()].map(({ targetAddress, targetPort }) => ({ address: targetAddress, port: targetPort }))
}
