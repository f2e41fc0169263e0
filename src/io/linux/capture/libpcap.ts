/** Compiles filter expressions, pcap-filter(7), with libpcap, which is loaded only when somebody wants that. */
import koffi from 'koffi'
import { OperatorError } from '../../../errors.ts'
import { int32At } from '../../../wire/bytes.ts'
import type { FilterInstruction, FilterProgram } from '../../../wire/capture-file/bpf.ts'
import { LinkType } from '../../../wire/link-layer.ts'
import { allocate } from '../system/memory.ts'

/** For which socket a filter is meant. */
export interface FilterContext {
  /** As in PacketRingOptions; or the link type of a file, whose frames have their VLAN tags. */
  readonly link: 'cooked' | 'ethernet' | number
  /** Octets of an accepted packet that are wanted. */
  readonly snapLength: number
  /** Of a promiscuous socket on this device, which gets its packets before the kernel forgets their VLAN tag. */
  readonly device?: string
}

interface Libpcap {
  readonly openDead: (link: number, snapLength: number) => number
  readonly create: (device: string, errorText: number) => number
  readonly setSnapLength: (handle: number, snapLength: number) => number
  readonly activate: (handle: number) => number
  readonly compile: (handle: number, program: number, text: string, optimize: number, netmask: number) => number
  readonly freeCode: (program: number) => void
  readonly errorText: (handle: number) => string
  readonly close: (handle: number) => void
}

/** PCAP_ERRBUF_SIZE */
const ERROR_LENGTH = 256
const DLT_EN10MB = 1
const DLT_RAW = 12
const PCAP_NETMASK_UNKNOWN = 0xffffffff
const NAMES = ['libpcap.so.0.8', 'libpcap.so.1']

/** @param names of the library, tried in turn @throws OperatorError `no-libpcap` */
export function openLibpcap(names: readonly string[] = NAMES): Libpcap {
  for (const name of names) {
    try {
      const library = koffi.load(name)
      return {
        openDead: library.func('uintptr_t pcap_open_dead(int, int)'),
        create: library.func('uintptr_t pcap_create(const char *, uintptr_t)'),
        setSnapLength: library.func('int pcap_set_snaplen(uintptr_t, int)'),
        activate: library.func('int pcap_activate(uintptr_t)'),
        compile: library.func('int pcap_compile(uintptr_t, uintptr_t, const char *, int, uint32_t)'),
        freeCode: library.func('void pcap_freecode(uintptr_t)'),
        errorText: library.func('const char *pcap_geterr(uintptr_t)'),
        close: library.func('void pcap_close(uintptr_t)')
      }
    } catch {
      // The next name; if none is left, the error below says what to do.
    }
  }
  throw new OperatorError(
    'no-libpcap',
    'libpcap is not installed, and --filter needs it',
    'Install it: apt install libpcap0.8. tcpcopy without -F does not need it.'
  )
}

let loaded: Libpcap | undefined

/** Copies a bpf_program out of C: bf_len, then the address of bpf_insns of 8 octets. */
function copyProgram(words: Int32Array): FilterProgram {
  const count = int32At(words, 0)
  const address = (int32At(words, 2) >>> 0) + (int32At(words, 3) >>> 0) * 0x100000000
  const instructions = new Int32Array(koffi.view(address, 8 * count))
  const program: FilterInstruction[] = []
  for (let index = 0; index < count; index++) {
    const head = int32At(instructions, 2 * index)
    const k = int32At(instructions, 2 * index + 1) >>> 0
    program.push({ code: head & 0xffff, jt: (head >>> 16) & 0xff, jf: head >>> 24, k })
  }
  return program
}

/** libpcap's own number of a link type, which only for raw IP is another than that in files. */
function dltOf(link: FilterContext['link']): number {
  if (link === 'cooked' || link === LinkType.Raw) return DLT_RAW
  return link === 'ethernet' ? DLT_EN10MB : link
}

function badFilter(expression: string, reason: string, hint: string): OperatorError {
  return new OperatorError('bad-filter', `invalid filter "${expression}": ${reason}`, hint)
}

/** A handle that captures on a device, as a program of libpcap's would; nothing is read from it. */
function openLive(pcap: Libpcap, expression: string, device: string, snapLength: number): number {
  const handle = pcap.create(device, allocate(ERROR_LENGTH).address)
  const status = handle === 0 ? -1 : pcap.setSnapLength(handle, snapLength) || pcap.activate(handle)
  if (status >= 0) return handle
  const reason = handle === 0 ? 'libpcap returned no handle' : pcap.errorText(handle)
  if (handle !== 0) pcap.close(handle)
  throw badFilter(
    expression,
    `vlan requires libpcap to open ${device}, which failed: ${reason}`,
    'Remove vlan from the filter.'
  )
}

/**
 * Compiles `expression` for a socket of PacketRing. Names in it are resolved, which may take as long as DNS does.
 *
 * A handle that stands for no device will do: what a live one adds are VLAN primitives that ask the kernel for the tag
 * it took out of the frame. A socket bound to ETH_P_IP gets its packets after the kernel forgot the tag, so that those
 * match nothing either (measured, Linux 6.18): `vlan` is refused but for a promiscuous socket, which gets them before.
 * @throws OperatorError `no-libpcap`, `bad-filter` with libpcap's own words
 */
export function compileFilter(expression: string, context: FilterContext): FilterProgram {
  const isAboutVlans = typeof context.link !== 'number' && /\bvlan\b/.test(expression)
  if (isAboutVlans && context.device === undefined)
    throw badFilter(
      expression,
      'packets arrive without their VLAN tag',
      "Remove vlan, or capture on the VLAN's own device. tcpcopy can also capture tagged frames on a device given by -i."
    )
  loaded ??= openLibpcap()
  const pcap = loaded
  const handle =
    isAboutVlans && context.device !== undefined
      ? openLive(pcap, expression, context.device, context.snapLength)
      : pcap.openDead(dltOf(context.link), context.snapLength)
  const program = allocate(16)
  try {
    if (pcap.compile(handle, program.address, expression, 1, PCAP_NETMASK_UNKNOWN) !== 0) {
      throw badFilter(expression, pcap.errorText(handle), 'See pcap-filter(7).')
    }
    try {
      return copyProgram(program.words)
    } finally {
      pcap.freeCode(program.address)
    }
  } finally {
    pcap.close(handle)
  }
}
