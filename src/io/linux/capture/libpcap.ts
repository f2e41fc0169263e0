/** Compiles pcap-filter(7) expressions with libpcap, which is loaded on first use. */
import koffi from 'koffi'
import { OperatorError } from '../../../errors.ts'
import { int32At } from '../../../wire/bytes.ts'
import type { FilterInstruction, FilterProgram } from '../../../wire/capture-file/bpf.ts'
import { LinkType } from '../../../wire/link-layer.ts'
import { allocate } from '../system/memory.ts'

/** The socket that a filter is for. */
export interface FilterContext {
  /** As in PacketRingOptions; or the link type of a file, whose frames keep their VLAN tags. */
  readonly link: 'cooked' | 'ethernet' | number
  /** Bytes to capture of an accepted packet. */
  readonly snapLength: number
  /** Device of a promiscuous socket, which gets packets before the kernel removes their VLAN tag. */
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

/** @param names of the library, tried in order @throws OperatorError `no-libpcap` */
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
      // Try the next name. After the last, the error below says what to do.
    }
  }
  throw new OperatorError(
    'no-libpcap',
    'libpcap is not installed, and --filter needs it',
    'Install it: apt install libpcap0.8. tcpcopy without -F does not need it.'
  )
}

let loaded: Libpcap | undefined

/** Copies a bpf_program from C: bf_len, then the address of its 8-byte bpf_insns. */
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

/** libpcap's number of a link type, which differs from that in files only for raw IP. */
function dltOf(link: FilterContext['link']): number {
  if (link === 'cooked' || link === LinkType.Raw) return DLT_RAW
  return link === 'ethernet' ? DLT_EN10MB : link
}

function badFilter(expression: string, reason: string, hint: string): OperatorError {
  return new OperatorError('bad-filter', `invalid filter "${expression}": ${reason}`, hint)
}

/** A live handle on a device; nothing is read from it. */
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
 * Compiles `expression` for a socket of PacketRing. This resolves names, which may take as long as DNS.
 *
 * A handle without a device suffices: a live one only adds VLAN primitives that ask the kernel for the removed tag. A
 * socket bound to ETH_P_IP gets packets after the kernel has lost the tag, so those never match (measured, Linux 6.18).
 * Therefore `vlan` is refused except for a promiscuous socket, which gets packets earlier.
 * @throws OperatorError `no-libpcap`, or `bad-filter` with libpcap's message
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
