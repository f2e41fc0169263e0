/** Device and MAC addresses for sending, as given by `-o` and the `@mac` of `-x`. */
import type { CopyMap } from '../../core/selection/mapping.ts'
import { OperatorError } from '../../errors.ts'
import { requireSender } from '../../io/linux/netlink/devices.ts'
import type { GivenNextHop, TargetMacs } from '../../io/linux/send/next-hops.ts'
import { formatAddress } from '../../wire/address.ts'
import { mapText } from '../options/values.ts'

/**
 * @param texts each `-x` as written
 * @param maps the parsed `-x`, in the same order
 * @throws OperatorError `no-device`, `bad-device`, `contradiction`
 */
export function givenNextHop(
  device: string | undefined,
  texts: readonly string[],
  maps: readonly CopyMap[],
  isByIp: boolean
): GivenNextHop {
  const macs: TargetMacs[] = []
  for (const [index, { targetAddress }] of maps.entries()) {
    const { fromMac: from, toMac: to } = mapText(texts[index] ?? '')
    if (from === undefined && to === undefined) continue
    const before = macs.find((one) => one.targetAddress === targetAddress)
    if (before === undefined) macs.push({ targetAddress, from, to })
    else if (!areSame(before.from, from) || !areSame(before.to, to)) {
      const hint = 'Give the same @mac in every -x to this target, or in only one of them.'
      throw new OperatorError(
        'contradiction',
        `--map gives different MAC addresses for ${formatAddress(targetAddress)}`,
        hint
      )
    }
  }
  if (isByIp && (device !== undefined || macs.length > 0)) {
    const hint = 'Remove --send ip: a raw socket sends by route.'
    throw new OperatorError('contradiction', `--send ip cannot be used with ${macs.length > 0 ? '@mac' : '-o'}`, hint)
  }
  if (device !== undefined) requireSender(device)
  return { device, macs }
}

function areSame(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === other || (one !== undefined && other !== undefined && Buffer.compare(one, other) === 0)
}
