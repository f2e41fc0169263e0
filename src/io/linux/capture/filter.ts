/**
 * Classic BPF programs that the kernel runs on each packet before it reaches this process. Pure. Kernel documentation:
 * networking/filter.
 */
import { PORT_FACTOR } from '../../../core/selection/worker-share.ts'
import { isIpv6 } from '../../../wire/address-book.ts'
import type { FilterProgram } from '../../../wire/capture-file/bpf.ts'
import { FRAGMENT, IPV6_HEADER } from '../../../wire/ipv6.ts'
import {
  ACCEPT,
  AND,
  type FilterTarget,
  FRAGMENT_OFFSET,
  ifAll,
  JUMP_ANY_BIT,
  JUMP_EQUAL,
  JUMP_EQUAL_X,
  LOAD_BYTE,
  LOAD_BYTE_INDEXED,
  LOAD_HALF,
  LOAD_HALF_INDEXED,
  LOAD_SCRATCH,
  LOAD_WORD,
  LOAD_X_HEADER_LENGTH,
  load,
  MULTIPLY,
  REJECT,
  RETURN_RESULT,
  SHIFT_RIGHT,
  STORE_SCRATCH,
  SUBTRACT_X,
  TARGET_ADDRESS_AT,
  TARGET_PORT_AT,
  type Test,
  TO_HOST,
  TO_X,
  testAddress6,
  testPort6
} from './filter-code.ts'

const PROTOCOL_AT = 9
const FRAGMENT_AT = 6
const PROTOCOLS = { tcp: 6, udp: 17 } as const
const TOTAL_LENGTH_AT = 2
const HEADER_LENGTH_AT = 12
const FLAGS_AT = 13
/** Flags that make a packet without payload relevant: FIN, SYN, RST, PSH and URG. */
const FLAGS_THAT_SPEAK = 0x2f

export type TransportProtocol = keyof typeof PROTOCOLS

/** Expects X = length of the IPv4 header, and keeps it. */
const REJECT_ACKS: FilterProgram = [
  load(LOAD_BYTE_INDEXED, FLAGS_AT),
  { code: JUMP_ANY_BIT, jt: 10, jf: 0, k: FLAGS_THAT_SPEAK },
  load(LOAD_HALF, TOTAL_LENGTH_AT),
  { code: SUBTRACT_X, jt: 0, jf: 0, k: 0 },
  load(STORE_SCRATCH, 0),
  load(LOAD_BYTE_INDEXED, HEADER_LENGTH_AT),
  load(AND, 0xf0),
  load(SHIFT_RIGHT, 2),
  load(TO_X, 0),
  load(LOAD_SCRATCH, 0),
  { code: JUMP_EQUAL_X, jt: 0, jf: 1, k: 0 },
  REJECT,
  load(LOAD_X_HEADER_LENGTH, 0)
]

/**
 * A program for cooked sockets (the IP header is at offset 0) bound to IPv4. It accepts whole TCP or UDP packets to one
 * of `targets`. It rejects fragments after the first, which have no ports; with `defragment` there are none.
 *
 * Each target returns by itself, so jumps do not depend on the number of targets (a jump reaches 255 instructions).
 * @param isWithoutAcks for TCP: rejects segments without payload and without flags other than ACK
 */
export function copyFilter(
  targets: readonly FilterTarget[],
  protocol: TransportProtocol = 'tcp',
  isWithoutAcks = false
): FilterProgram {
  const program = [
    load(LOAD_BYTE, PROTOCOL_AT),
    { code: JUMP_EQUAL, jt: 1, jf: 0, k: PROTOCOLS[protocol] },
    REJECT,
    load(LOAD_HALF, FRAGMENT_AT),
    { code: JUMP_ANY_BIT, jt: 0, jf: 1, k: FRAGMENT_OFFSET },
    REJECT,
    load(LOAD_X_HEADER_LENGTH, 0)
  ]
  if (isWithoutAcks) program.push(...REJECT_ACKS)
  for (const target of targets) {
    const port: Test = [load(LOAD_HALF_INDEXED, TARGET_PORT_AT), target.port]
    const address: Test = [load(LOAD_WORD, TARGET_ADDRESS_AT), target.address >>> 0]
    program.push(...ifAll([port, ...(target.address === 0 ? [] : [address]), ...hostTest(target)], ACCEPT))
  }
  program.push(REJECT)
  return program
}

/**
 * For `PacketRingOptions.steering`: selects the worker by the client's port. The IP header is at offset 0, whatever the
 * ring's link. @see workerOf
 */
export function steering(workers: number): FilterProgram {
  return steeringBy([load(LOAD_X_HEADER_LENGTH, 0), load(LOAD_HALF_INDEXED, 0)], workers)
}

/** The same for answers. IPv6 packets with extension headers go to some worker, which passes them on. */
export function answerSteering(workers: number, version: 4 | 6): FilterProgram {
  if (version === 4)
    return steeringBy([load(LOAD_X_HEADER_LENGTH, 0), load(LOAD_HALF_INDEXED, TARGET_PORT_AT)], workers)
  return steeringBy([load(LOAD_HALF, IPV6_HEADER + TARGET_PORT_AT)], workers)
}

/** @param look loads the client's port */
function steeringBy(look: FilterProgram, workers: number): FilterProgram {
  return [
    ...look,
    load(MULTIPLY, PORT_FACTOR),
    load(SHIFT_RIGHT, 16),
    load(MULTIPLY, workers),
    load(SHIFT_RIGHT, 16),
    load(RETURN_RESULT, 0)
  ]
}

const PAYLOAD_LENGTH_6_AT = 4
const NEXT_HEADER_AT = 6
const DESTINATION_OPTIONS = 60
/** Headers that may precede TCP or UDP (RFC 8200 §4.1). */
const EXTENSIONS = [0, 43, DESTINATION_OPTIONS]

const REJECT_ACKS_6: FilterProgram = [
  load(LOAD_BYTE, IPV6_HEADER + FLAGS_AT),
  { code: JUMP_ANY_BIT, jt: 7, jf: 0, k: FLAGS_THAT_SPEAK },
  load(LOAD_BYTE, IPV6_HEADER + HEADER_LENGTH_AT),
  load(AND, 0xf0),
  load(SHIFT_RIGHT, 2),
  load(TO_X, 0),
  load(LOAD_HALF, PAYLOAD_LENGTH_6_AT),
  { code: JUMP_EQUAL_X, jt: 0, jf: 1, k: 0 },
  REJECT
]

function hostTest({ isForHost }: FilterTarget): readonly Test[] {
  return isForHost === true ? [TO_HOST] : []
}

/**
 * The same for IPv6. A program without loops cannot find TCP or UDP after extension headers. It accepts such packets to
 * any address, and the reader checks them. The same applies to fragments of the protocol, which the kernel does not
 * reassemble.
 */
export function copyFilter6(
  targets: readonly FilterTarget[],
  protocol: TransportProtocol = 'tcp',
  isWithoutAcks = false
): FilterProgram {
  const program = [load(LOAD_BYTE, NEXT_HEADER_AT)]
  for (const extension of EXTENSIONS) program.push({ code: JUMP_EQUAL, jt: 0, jf: 1, k: extension }, ACCEPT)
  program.push({ code: JUMP_EQUAL, jt: 0, jf: 5, k: FRAGMENT }, load(LOAD_BYTE, IPV6_HEADER))
  program.push({ code: JUMP_EQUAL, jt: 1, jf: 0, k: PROTOCOLS[protocol] })
  program.push({ code: JUMP_EQUAL, jt: 0, jf: 1, k: DESTINATION_OPTIONS }, ACCEPT, REJECT)
  program.push({ code: JUMP_EQUAL, jt: 1, jf: 0, k: PROTOCOLS[protocol] }, REJECT)
  if (isWithoutAcks) program.push(...REJECT_ACKS_6)
  for (const target of targets) {
    const tests = isIpv6(target.address) ? testAddress6(target.address) : []
    program.push(...ifAll([testPort6(target.port), ...tests, ...hostTest(target)], ACCEPT))
  }
  program.push(REJECT)
  return program
}
