/** Options for capturing, and the plan made from them. */
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

/** Longer than any frame. */
const SNAP_LENGTH_WHOLE = 0x40000
/** Ethernet, IP and TCP headers with all options. */
const SNAP_LENGTH_LEAST = 134
/** A device name that stands for all devices. */
const ANY = 'any'

export interface CaptureOptions {
  readonly device?: readonly string[]
  readonly filter?: string
  readonly buffer: string
  readonly snapLength?: string
  readonly capture?: string
}

/** How to capture live packets: AF_PACKET rings, or a raw socket. */
const CAPTURE_BY = ['ring', 'ip'] as const

/** How live packets are captured, as plain data. */
export interface CapturePlan {
  readonly by: (typeof CAPTURE_BY)[number]
  /** Capture all frames of these devices, also those for other hosts; if empty, packets for this host on any device. */
  readonly devices: readonly string[]
  /** pcap-filter(7) */
  readonly filter: string | undefined
  /** Size of the ring of each device. */
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

/** What `-i` names: a file or devices; neither if it is missing or `any`. */
interface Input {
  readonly path: string | undefined
  readonly devices: readonly string[]
}

/** A device takes precedence over a file with the same name; `./eth0` is the file. @throws OperatorError `no-device` */
export function inputOf(values: readonly string[] | undefined): Input {
  const names = listOf(values ?? [])
  if (names.length === 0 || names.includes(ANY)) return { path: undefined, devices: [] }
  if (names.every(isDevice)) return { path: undefined, devices: [...new Set(names)] }
  const [path = ''] = values ?? []
  if (values?.length === 1 && isFile(path)) return { path, devices: [] }
  const absent = names.find((name) => !isDevice(name)) ?? ''
  // Throws: a list can only name devices.
  if (names.length > 1) deviceIndex(absent)
  const hint = `The devices of this host are ${listDevices().join(', ')}. For a file, give its path.`
  throw new OperatorError('no-device', `there is no network device ${absent}, and no file with that name`, hint)
}

/** Whether a name is meant as a file, even if it does not exist. */
function isFile(path: string): boolean {
  if (path === STANDARD_INPUT || path.includes('/')) return true
  return /\.(pcap|pcapng|cap|dump|gz)\d*$/i.test(path) || statSync(path, { throwIfNoEntry: false }) !== undefined
}

/** @throws OperatorError if the options are invalid or contradict each other */
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

/** @throws OperatorError for an IPv6 target, because the raw socket captures IPv4 only */
export function refuseIpv6ByIp({ by }: CapturePlan, maps: readonly CopyMap[]): void {
  const map = maps.find(({ targetAddress }) => isIpv6(targetAddress))
  if (by !== 'ip' || map === undefined) return
  const hint = 'Remove --capture ip: it captures IPv4 only.'
  const target = formatEndpoint(map.targetAddress, map.targetPort)
  throw new OperatorError('contradiction', `--capture ip cannot be used with the IPv6 target ${target}`, hint)
}
