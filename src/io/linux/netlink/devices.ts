/**
 * Network devices in this thread's network namespace. /proc/self/net, /proc/sys/net and ioctls follow the namespace
 * however it was entered; /sys does not under `nsenter --net`.
 */
import { existsSync, readFileSync } from 'node:fs'
import { OperatorError } from '../../../errors.ts'
import { int32At, u8 } from '../../../wire/bytes.ts'
import {
  AF_INET,
  close,
  errno,
  errnoMessage,
  ifIndexToName,
  ifNameToIndex,
  ioctl,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  socket
} from '../system/libc.ts'
import { allocate, type Block } from '../system/memory.ts'

/** netdevice(7). */
const SIOCGIFFLAGS = 0x8913
const SIOCGIFMTU = 0x8921
const SIOCGIFHWADDR = 0x8927
const IFREQ_LENGTH = 40
const NAME_LENGTH_MAX = 15
const HARDWARE_TYPE_AT = 16
const MTU_WORD = 4
const FLAGS_AT = 16
const IFF_UP = 1

/** Hardware types, linux/if_arp.h. The loopback device has Ethernet headers too. */
const ARPHRD_ETHER = 1
const ARPHRD_LOOPBACK = 772

/** The names of all devices, up or down. */
export function listDevices(): string[] {
  const lines = readFileSync('/proc/self/net/dev', 'latin1').split('\n').slice(2)
  return lines.filter((line) => line.includes(':')).map((line) => line.slice(0, line.lastIndexOf(':')).trim())
}

/** Whether a device of this name exists, up or down. */
export function isDevice(name: string): boolean {
  return findDevice(name) !== 0
}

/** The index of a device; 0: it does not exist. */
export function findDevice(name: string): number {
  return ifNameToIndex(name)
}

function noDevice(name: string): OperatorError {
  return new OperatorError(
    'no-device',
    `there is no network device ${name}`,
    `The devices of this host are ${listDevices().join(', ')}.`
  )
}

/** The index of a device. @throws OperatorError `no-device`, which lists the existing ones */
export function deviceIndex(name: string): number {
  const index = ifNameToIndex(name)
  if (index === 0) throw noDevice(name)
  return index
}

/** The name of a device; `number N` if it is gone. */
export function deviceName(index: number): string {
  const name = allocate(NAME_LENGTH_MAX + 1)
  if (ifIndexToName(index, name.address) === 0) return `number ${index}`
  return Buffer.from(name.bytes.subarray(0, name.bytes.indexOf(0))).toString('latin1')
}

interface Hardware {
  /** ARPHRD_: 1 is Ethernet, 772 loopback. */
  readonly type: number
  /** MAC address of an Ethernet device. */
  readonly mac: Uint8Array
}

/** The hardware type and address of a device. netdevice(7) @throws OperatorError `no-device` */
export function hardwareOf(name: string): Hardware {
  deviceIndex(name)
  const { bytes } = askDevice(name, SIOCGIFHWADDR, 'type')
  const type = u8(bytes, HARDWARE_TYPE_AT) | (u8(bytes, HARDWARE_TYPE_AT + 1) << 8)
  return { type, mac: bytes.slice(HARDWARE_TYPE_AT + 2, HARDWARE_TYPE_AT + 8) }
}

/** MTU of a device in bytes; for IPv6 a router may have announced a smaller one. @throws Error if it is gone */
export function mtuOf(name: string, version: 4 | 6): number {
  const mtu = int32At(askDevice(name, SIOCGIFMTU, 'MTU').words, MTU_WORD)
  return version === 4 ? mtu : Math.min(mtu, readSetting(`ipv6/conf/${name}/mtu`) ?? mtu)
}

/** Runs an ioctl that fills an ifreq. */
function askDevice(name: string, question: number, what: string): Block {
  const request = allocate(IFREQ_LENGTH)
  request.bytes.set(Buffer.from(name, 'latin1').subarray(0, NAME_LENGTH_MAX))
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  const isDone = fd >= 0 && ioctl(fd, question, request.address) === 0
  const error = isDone ? 0 : errno()
  if (fd >= 0) close(fd)
  if (!isDone) throw new Error(`cannot read the ${what} of ${name}: ${errnoMessage(error)}`)
  return request
}

/** @throws OperatorError `no-device`; `bad-device` if Ethernet frames cannot be sent through it */
export function requireSender(name: string): void {
  if (hardwareOf(name).type !== ARPHRD_ETHER) {
    const hint = 'Name an Ethernet device, or remove -o to send by route.'
    throw new OperatorError('bad-device', `the device ${name} is not an Ethernet device`, hint)
  }
  if ((u8(askDevice(name, SIOCGIFFLAGS, 'flags').bytes, FLAGS_AT) & IFF_UP) === 0) {
    throw new OperatorError('bad-device', `the device ${name} is down`, `Bring it up: ip link set ${name} up.`)
  }
}

/** Whether frames of a device start with an Ethernet header. @throws OperatorError `no-device` */
export function isEthernet(name: string): boolean {
  const { type } = hardwareOf(name)
  return type === ARPHRD_ETHER || type === ARPHRD_LOOPBACK
}

function readSetting(path: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/net/${path}`, 'latin1'))
  } catch {
    return undefined // no such device, or a container that hides /proc/sys: the caller decides what that means
  }
}

/**
 * Whether the host forwards packets that arrive on a device.
 * @param name undefined: on any device, `net.ipv4.ip_forward`
 * @returns undefined if the system does not tell
 */
export function isForwarding(name?: string, version: 'ipv4' | 'ipv6' = 'ipv4'): boolean | undefined {
  const value = readSetting(name === undefined ? 'ipv4/ip_forward' : `${version}/conf/${name}/forwarding`)
  return value === undefined ? undefined : value !== 0
}

/** Whether this host has IPv6. */
export function hasIpv6(): boolean {
  return existsSync('/proc/self/net/if_inet6')
}

/**
 * The reverse-path filter of a device: 0 off, 1 strict, 2 loose. It is the larger of the device's and the global
 * setting (ip-sysctl).
 * @returns undefined if the system does not tell
 */
export function reversePathFilter(name: string): number | undefined {
  const own = readSetting(`ipv4/conf/${name}/rp_filter`)
  const all = readSetting('ipv4/conf/all/rp_filter')
  return own === undefined || all === undefined ? undefined : Math.max(own, all)
}

/** Number of tracked connections; 0 if conntrack is not in use. */
export function conntrackCount(): number {
  return readSetting('netfilter/nf_conntrack_count') ?? 0
}
