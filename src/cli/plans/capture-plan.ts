/** The options that say what packets are captured with, and what follows from them. */
import { statSync } from 'node:fs'
import type { Command } from 'commander'
import type { CopyMap } from '../../core/selection/mapping.ts'
import { OperatorError } from '../../errors.ts'
import { STANDARD_INPUT } from '../../io/file/file-feed.ts'
import { deviceIndex, isDevice, listDevices } from '../../io/linux/netlink/devices.ts'
import { formatEndpoint } from '../../wire/address.ts'
import { isIpv6 } from '../../wire/address-book.ts'
import { collect } from '../options/config.ts'
import { Group } from '../options/help.ts'
import { listOf, oneOf, wholeNumber } from '../options/values.ts'

/** More than any frame has. */
const SNAP_LENGTH_WHOLE = 0x40000
/** The headers of a segment in Ethernet, all options included. */
const SNAP_LENGTH_LEAST = 134
/** In place of a device's name: what comes in on any. */
const ANY = 'any'

export interface CaptureOptions {
  readonly device?: readonly string[]
  readonly filter?: string
  readonly buffer: string
  readonly snapLength?: string
  readonly capture?: string
}

/** What live packets are captured through: packet sockets with rings, or a raw socket. */
const CAPTURE_BY = ['ring', 'ip'] as const

/** How live packets are captured, as plain data. */
export interface CapturePlan {
  readonly by: (typeof CAPTURE_BY)[number]
  /** Their frames as they are, also those for other hosts; none: packets for this host, on any device. */
  readonly devices: readonly string[]
  /** pcap-filter(7) */
  readonly filter: string | undefined
  /** Of each device. */
  readonly ringMegabytes: number
  readonly snapLength: number
}

/** @param device what -i does in this command @param filter what -F does */
export function addCaptureOptions(command: Command, device: string, filter: string): Command {
  return command
    .optionsGroup(Group.Capture)
    .option('-i, --device <names>', device, collect)
    .option('-F, --filter <expression>', filter)
    .option('-B, --buffer <MB>', 'Capture ring size per device', '32')
    .option('-S, --snap-length <bytes>', 'Bytes to capture per frame (default: all)')
}

/** What `-i` names: a file, or devices; neither: it is not given, or `any`. */
interface Input {
  readonly path: string | undefined
  readonly devices: readonly string[]
}

/** A device of a file's name goes first: `./eth0` is the file. @throws OperatorError `no-device` */
export function inputOf(values: readonly string[] | undefined): Input {
  const names = listOf(values ?? [])
  if (names.length === 0 || names.includes(ANY)) return { path: undefined, devices: [] }
  if (names.every(isDevice)) return { path: undefined, devices: [...new Set(names)] }
  const [path = ''] = values ?? []
  if (values?.length === 1 && isFile(path)) return { path, devices: [] }
  const absent = names.find((name) => !isDevice(name)) ?? ''
  // Throws: of several names none can be a file.
  if (names.length > 1) deviceIndex(absent)
  const hint = `The devices of this host are ${listDevices().join(', ')}. For a file, give its path.`
  throw new OperatorError('no-device', `there is no network device ${absent}, and no file with that name`, hint)
}

/** Also one that is not there: what is called so is meant to be one. */
function isFile(path: string): boolean {
  if (path === STANDARD_INPUT || path.includes('/')) return true
  return /\.(pcap|pcapng|cap|dump|gz)\d*$/i.test(path) || statSync(path, { throwIfNoEntry: false }) !== undefined
}

/** @throws OperatorError for what cannot work */
export function capturePlan(options: CaptureOptions): CapturePlan {
  const { device, filter, buffer, snapLength, capture = 'ring' } = options
  const by = oneOf('--capture', capture, CAPTURE_BY)
  const { path, devices } = inputOf(device)
  if (by === 'ip' && (path !== undefined || devices.length > 0)) {
    const hint = 'Remove one of the two: a raw socket receives the traffic to this host, on any device.'
    throw new OperatorError('contradiction', '--capture ip cannot be used with -i', hint)
  }
  return {
    by,
    devices,
    filter,
    ringMegabytes: wholeNumber('--buffer', buffer, 1, 4096),
    snapLength:
      snapLength === undefined
        ? SNAP_LENGTH_WHOLE
        : wholeNumber('--snap-length', snapLength, SNAP_LENGTH_LEAST, SNAP_LENGTH_WHOLE)
  }
}

/** @throws OperatorError where packets of IPv6 would have to be captured by a raw socket of IPv4 */
export function refuseIpv6ByIp({ by }: CapturePlan, maps: readonly CopyMap[]): void {
  const map = maps.find(({ targetAddress }) => isIpv6(targetAddress))
  if (by !== 'ip' || map === undefined) return
  const hint = 'Remove --capture ip: it captures IPv4 only.'
  const target = formatEndpoint(map.targetAddress, map.targetPort)
  throw new OperatorError('contradiction', `--capture ip cannot be used with the IPv6 target ${target}`, hint)
}
