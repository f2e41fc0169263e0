/**
 * The channel's protocol, version 2: negotiation, routes, and what all records have in common. Answers are in
 * `answer-records.ts`. docs/channel.md has the layouts. All integers are big-endian.
 */
import { addressBook, isIpv6 } from '../address-book.ts'
import { copyBytes, i32, put16, put32, u8, u16 } from '../bytes.ts'
import type { Flow } from '../flow.ts'

export const VERSION_2 = 2
/** Offset of the offer in version 1's hello: a mark of four bytes, version, flags. */
const OFFER_AT = 8
const OFFER_MARK = 0x54435632
/** The acceptance starts with this value. No count of version 1 is as large. */
export const ACCEPTANCE_MARK = 0x5443
export const ACCEPTANCE_LENGTH = 20
export const NONCE_LENGTH = 16
export const INSTANCE_LENGTH = 16
export const PROOF_LENGTH = 32
/** Flags of offer and acceptance: the sender has a secret and requires proof; it knows questions and findings. */
export const WANTS_PROOF = 1
export const KNOWS_FINDINGS = 2

export const RecordType = {
  Answers: 1,
  Header: 2,
  Taken: 3,
  Proof: 4,
  Refusal: 5,
  Findings: 6,
  Introduction: 16,
  Route: 17,
  Withdrawal: 18,
  Question: 19
} as const

/** Why intercept refuses a connection. */
export const Refusal = { WrongProof: 1, NoProof: 2 } as const

/** Bytes of the head of every record. */
export const RECORD_HEAD = 4
export const RECORD_MAX = 255
/** Bit of a record's shape: its addresses are IPv6. */
const SHAPE_IPV6 = 0x80
/** Bit of an introduction's shape: it includes nonce and proof. */
const SHAPE_PROOF = 0x01

export const INTRODUCTION_LENGTH = RECORD_HEAD + INSTANCE_LENGTH
export const INTRODUCTION_WITH_PROOF = INTRODUCTION_LENGTH + NONCE_LENGTH + PROOF_LENGTH

/** Bytes of a flow: two addresses and two ports. */
export function flowLength(shape: number): number {
  return shape & SHAPE_IPV6 ? 36 : 12
}

/** The bit of a record's shape for the IP version of an address. */
export function shapeOf(address: number): number {
  return isIpv6(address) ? SHAPE_IPV6 : 0
}

/** Bytes of a record that holds only a flow to this target. */
export function flowRecordLength(target: number): number {
  return RECORD_HEAD + flowLength(shapeOf(target))
}

export function putOffer(bytes: Uint8Array, helloAt: number, version: number, flags: number): void {
  put32(bytes, helloAt + OFFER_AT, OFFER_MARK)
  bytes[helloAt + OFFER_AT + 4] = version
  bytes[helloAt + OFFER_AT + 5] = flags
}

/** @returns the highest version that a hello offers; 1 if it has no offer */
export function offeredVersion(bytes: Uint8Array, helloAt: number): number {
  return i32(bytes, helloAt + OFFER_AT) === OFFER_MARK ? u8(bytes, helloAt + OFFER_AT + 4) : 1
}

export function offerFlags(bytes: Uint8Array, helloAt: number): number {
  return u8(bytes, helloAt + OFFER_AT + 5)
}

export function putAcceptance(bytes: Uint8Array, at: number, version: number, flags: number, nonce: Uint8Array): void {
  put16(bytes, at, ACCEPTANCE_MARK)
  bytes[at + 2] = version
  bytes[at + 3] = flags
  copyBytes(nonce, 0, bytes, at + 4, NONCE_LENGTH)
}

export function acceptedVersion(bytes: Uint8Array, at: number): number {
  return u8(bytes, at + 2)
}

export function acceptanceFlags(bytes: Uint8Array, at: number): number {
  return u8(bytes, at + 3)
}

export function recordType(bytes: Uint8Array, at: number): number {
  return u8(bytes, at)
}
export function recordLength(bytes: Uint8Array, at: number): number {
  return u8(bytes, at + 1)
}
export function recordShape(bytes: Uint8Array, at: number): number {
  return u8(bytes, at + 2)
}

export function putRecordHead(bytes: Uint8Array, at: number, type: number, length: number, shape: number): void {
  bytes[at] = type
  bytes[at + 1] = length
  bytes[at + 2] = shape
  bytes[at + 3] = 0
}

/** Writes an introduction. With a nonce, leaves space for the proof, which is computed over what precedes it. */
export function putIntroduction(bytes: Uint8Array, at: number, instance: Uint8Array, nonce?: Uint8Array): void {
  const length = nonce === undefined ? INTRODUCTION_LENGTH : INTRODUCTION_WITH_PROOF
  putRecordHead(bytes, at, RecordType.Introduction, length, nonce === undefined ? 0 : SHAPE_PROOF)
  copyBytes(instance, 0, bytes, at + RECORD_HEAD, INSTANCE_LENGTH)
  if (nonce !== undefined) copyBytes(nonce, 0, bytes, at + INTRODUCTION_LENGTH, NONCE_LENGTH)
}

/** @returns whether the length of an introduction matches its shape; all of the record must be present */
export function isIntroductionWhole(bytes: Uint8Array, at: number): boolean {
  return recordLength(bytes, at) === (hasProof(bytes, at) ? INTRODUCTION_WITH_PROOF : INTRODUCTION_LENGTH)
}

export function hasProof(bytes: Uint8Array, introductionAt: number): boolean {
  return (recordShape(bytes, introductionAt) & SHAPE_PROOF) !== 0
}

/** Writes a record that holds a flow and nothing else: `Route`, `Withdrawal`, `Taken` or `Question`. */
export function putFlowRecord(bytes: Uint8Array, at: number, type: number, flow: Flow): void {
  putRecordHead(bytes, at, type, flowRecordLength(flow.serverAddress), shapeOf(flow.serverAddress))
  putFlow(bytes, at + RECORD_HEAD, flow)
}

/** @returns whether the length of a record that holds only a flow matches its shape */
export function isFlowRecordWhole(bytes: Uint8Array, at: number): boolean {
  return recordLength(bytes, at) === RECORD_HEAD + flowLength(recordShape(bytes, at))
}

export function putFlow(bytes: Uint8Array, at: number, flow: Flow): void {
  const { clientAddress, serverAddress } = flow
  const portsAt = at + flowLength(shapeOf(serverAddress)) - 4
  if (isIpv6(serverAddress)) {
    addressBook.put(clientAddress, bytes, at)
    addressBook.put(serverAddress, bytes, at + 16)
  } else {
    put32(bytes, at, clientAddress)
    put32(bytes, at + 4, serverAddress)
  }
  put16(bytes, portsAt, flow.clientPort)
  put16(bytes, portsAt + 2, flow.serverPort)
}

/**
 * Fills `flow` with the flow of a record. An IPv6 address that is not in the address book becomes 0; see `internFlow`.
 */
export function readFlow(bytes: Uint8Array, recordAt: number, flow: Flow): void {
  const shape = recordShape(bytes, recordAt)
  const at = recordAt + RECORD_HEAD
  const portsAt = at + flowLength(shape) - 4
  const isOfIpv6 = (shape & SHAPE_IPV6) !== 0
  flow.clientAddress = isOfIpv6 ? addressBook.find(bytes, at) : i32(bytes, at)
  flow.serverAddress = isOfIpv6 ? addressBook.find(bytes, at + 16) : i32(bytes, at + 4)
  flow.clientPort = u16(bytes, portsAt)
  flow.serverPort = u16(bytes, portsAt + 2)
}

/** Adds the addresses of a record's flow to the address book. @returns false if it is full */
export function internFlow(bytes: Uint8Array, recordAt: number): boolean {
  const at = recordAt + RECORD_HEAD
  const isOfIpv6 = (recordShape(bytes, recordAt) & SHAPE_IPV6) !== 0
  return !isOfIpv6 || (addressBook.intern(bytes, at) > 0 && addressBook.intern(bytes, at + 16) > 0)
}
