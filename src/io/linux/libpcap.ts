/** Compiles filter expressions, pcap-filter(7), with libpcap, which is loaded only when somebody wants that. */
import koffi from 'koffi'
import { OperatorError } from '../../errors.ts'
import { int32At } from '../../wire/bytes.ts'
import type { FilterInstruction, FilterProgram } from './filter.ts'
import { allocate } from './memory.ts'

/** For which socket a filter is meant. */
export interface FilterContext {
  /** undefined: all devices. */
  readonly device: string | undefined
  /** As in PacketRingOptions. */
  readonly link: 'cooked' | 'ethernet'
  /** Octets of an accepted packet that are wanted. */
  readonly snapLength: number
}

interface Libpcap {
  readonly openDead: (link: number, snapLength: number) => number
  readonly create: (device: string | null, error: number) => number
  readonly setSnapLength: (handle: number, length: number) => number
  readonly setBufferSize: (handle: number, length: number) => number
  readonly activate: (handle: number) => number
  readonly dataLink: (handle: number) => number
  readonly compile: (handle: number, program: number, text: string, optimize: number, netmask: number) => number
  readonly freeCode: (program: number) => void
  readonly errorText: (handle: number) => string
  readonly close: (handle: number) => void
}

const DLT_EN10MB = 1
const DLT_RAW = 12
const PCAP_NETMASK_UNKNOWN = 0xffffffff
const PCAP_ERRBUF_SIZE = 256
const BUFFER_LENGTH = 0x10000
const NAMES = ['libpcap.so.0.8', 'libpcap.so.1']

function open(): Libpcap {
  for (const name of NAMES) {
    try {
      const library = koffi.load(name)
      return {
        openDead: library.func('uintptr_t pcap_open_dead(int, int)'),
        create: library.func('uintptr_t pcap_create(const char *, uintptr_t)'),
        setSnapLength: library.func('int pcap_set_snaplen(uintptr_t, int)'),
        setBufferSize: library.func('int pcap_set_buffer_size(uintptr_t, int)'),
        activate: library.func('int pcap_activate(uintptr_t)'),
        dataLink: library.func('int pcap_datalink(uintptr_t)'),
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
    'libpcap is not installed: filter expressions need it',
    'apt install libpcap0.8, or leave the filter to the mappings'
  )
}

const createError = allocate(PCAP_ERRBUF_SIZE)
let loaded: Libpcap | undefined

/** A live handle knows what the kernel can look at beyond the bytes: the VLAN tag, which it takes out of the frame. */
function openDevice(pcap: Libpcap, context: FilterContext): number {
  const handle = context.device === undefined ? 0 : pcap.create(context.device, createError.address)
  if (handle === 0) return 0
  pcap.setSnapLength(handle, context.snapLength)
  pcap.setBufferSize(handle, BUFFER_LENGTH)
  if (pcap.activate(handle) >= 0 && pcap.dataLink(handle) === DLT_EN10MB) return handle
  pcap.close(handle)
  return 0
}

/** Without privileges, a device or its consent, a handle that stands for no device compiles the same but for VLANs. */
function openHandle(pcap: Libpcap, context: FilterContext): number {
  if (context.link === 'cooked') return pcap.openDead(DLT_RAW, context.snapLength)
  const live = openDevice(pcap, context)
  return live === 0 ? pcap.openDead(DLT_EN10MB, context.snapLength) : live
}

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

/**
 * Compiles `expression` for a socket of PacketRing.
 * @throws OperatorError `no-libpcap`, `bad-filter` with libpcap's own words
 */
export function compileFilter(expression: string, context: FilterContext): FilterProgram {
  loaded ??= open()
  const pcap = loaded
  const handle = openHandle(pcap, context)
  const program = allocate(16)
  try {
    if (pcap.compile(handle, program.address, expression, 1, PCAP_NETMASK_UNKNOWN) !== 0) {
      const message = `the filter "${expression}" is wrong: ${pcap.errorText(handle)}`
      throw new OperatorError('bad-filter', message, 'see pcap-filter(7)')
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
