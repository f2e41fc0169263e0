/** The settings of selection that the command line provides. */
import { isIpv6 } from '../../wire/address-book.ts'
import type { JoinAt } from './join-at.ts'
import { LoopGuard, type LoopMemory } from './loop-guard.ts'
import { type AddressRange, type CopyMap, Mapping } from './mapping.ts'
import type { OwnAddresses } from './own-addresses.ts'
import { ALL_FLOWS, type Selection, WHOLE } from './sampling.ts'

export interface SelectionSettings {
  /** `-x` */
  readonly maps: readonly CopyMap[]
  /** `-c` */
  readonly ranges: readonly AddressRange[]
  /** `-H`: at most one of each IP version. */
  readonly loopbackAddresses: readonly number[]
  /** `-r`, `-g`, `-O` and `-n`. */
  readonly sampling: Selection
  /** `--join` */
  readonly joinAt: JoinAt
  /** `-f` */
  readonly portShift: number
  /** What is sent may be captured again: not if a file is replayed. */
  readonly isLive: boolean
}

/** The defaults. */
export const SELECTION_DEFAULTS: SelectionSettings = {
  maps: [],
  ranges: [],
  loopbackAddresses: [],
  sampling: ALL_FLOWS,
  joinAt: 'answered',
  portShift: 0,
  isLive: true
}

export function mappingOf({ maps, ranges, loopbackAddresses }: SelectionSettings, own?: OwnAddresses): Mapping {
  return new Mapping(maps, ranges, loopbackAddresses, own)
}

/** @returns undefined if there can be no loop */
export function loopGuardOf(
  { maps, ranges, isLive, sampling }: SelectionSettings,
  own: OwnAddresses | undefined,
  memory: LoopMemory | undefined
): LoopGuard | undefined {
  const copiesMax = Math.ceil(sampling.copies / WHOLE) * maps.length
  return isLive ? new LoopGuard({ maps, ranges, copiesMax, own, memory }) : undefined
}

/** Whether some connections are copied more than once. */
export function hasCopies({ sampling }: SelectionSettings, mapping: Mapping): boolean {
  return sampling.copies > WHOLE || mapping.isFanOut
}

/** Whether a target has an IPv6 address. */
export function hasIpv6Target({ maps }: SelectionSettings): boolean {
  return maps.some((map) => isIpv6(map.targetAddress))
}
