/**
 * Version 2 of the channel's protocol: offer and acceptance, introduction, routes, and the head that all records share.
 * `answer-records.ts` has the target's answers, docs/channel.md the layouts. All integers are big-endian.
 */
import { addressBook, isIpv6 } from '../address-book.ts'
import { copyBytes, i32, put16, put32, u8, u16 } from '../bytes.ts'

export const VERSION_2 = 2
/** Where the offer is in the hello of version 1: four bytes of mark, then version and flags. */
const OFFER_AT = 8
const OFFER_MARK = 0x54435632
/** First two bytes of the acceptance. A record count of version 1 is never so large. */
export const ACCEPTANCE_MARK = 0x5443
export const ACCEPTANCE_LENGTH = 20
export const NONCE_LENGTH = 16
export const INSTANCE_LENGTH = 16
export const PROOF_LENGTH = 32
/** Flag of offer and acceptance: the sender has a secret and requires proof. */
export const WANTS_PROOF = 1

export const RecordType = {
  Answers: 1,
  Header: 2,
  Taken: 3,
  Proof: 4,
  Refusal: 5,
  Introduction: 16,
  Route: 17,
  Withdrawal: 18
} as const

/** Why intercept refuses. */
export const Refusal = { WrongProof: 1, NoProof: 2 } as const

/** Bytes of the head of every record: type, length, shape, and one byte whose use depends on the type. */
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

/** The bit of a record's shape that stands for the IP version of an address. */
export function shapeOf(address: number): number {
  return isIpv6(address) ? SHAPE_IPV6 : 0
}

/** Bytes of a record that consists of a flow to this target. */
export function flowRecordLength(target: number): number {
  return RECORD_HEAD + flowLength(shapeOf(target))
}

export function putOffer(bytes: Uint8Array, helloAt: number, version: number, flags: number): void {
  put32(bytes, helloAt + OFFER_AT, OFFER_MARK)
  bytes[helloAt + OFFER_AT + 4] = version
  bytes[helloAt + OFFER_AT + 5] = flags
}

/** @returns the highest version that a hello offers; 1 if it offers none */
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

/** Writes an introduction. With a nonce, the caller adds the proof, which is computed over the bytes before it. */
export function putIntroduction(bytes: Uint8Array, at: number, instance: Uint8Array, nonce?: Uint8Array): void {
  const length = nonce === undefined ? INTRODUCTION_LENGTH : INTRODUCTION_WITH_PROOF
  putRecordHead(bytes, at, RecordType.Introduction, length, nonce === undefined ? 0 : SHAPE_PROOF)
  copyBytes(instance, 0, bytes, at + RECORD_HEAD, INSTANCE_LENGTH)
  if (nonce !== undefined) copyBytes(nonce, 0, bytes, at + INTRODUCTION_LENGTH, NONCE_LENGTH)
}

/** Whether an introduction has the length that its shape requires. The record must be present in its whole length. */
export function isIntroductionWhole(bytes: Uint8Array, at: number): boolean {
  return recordLength(bytes, at) === (hasProof(bytes, at) ? INTRODUCTION_WITH_PROOF : INTRODUCTION_LENGTH)
}

export function hasProof(bytes: Uint8Array, introductionAt: number): boolean {
  return (recordShape(bytes, introductionAt) & SHAPE_PROOF) !== 0
}

/** Writes a record that consists of a flow: `Route`, `Withdrawal` or `Taken`. */
export function putFlowRecord(
  bytes: Uint8Array,
  at: number,
  type: number,
  client: number,
  clientPort: number,
  target: number,
  targetPort: number
): void {
  putRecordHead(bytes, at, type, flowRecordLength(target), shapeOf(target))
  putFlow(bytes, at + RECORD_HEAD, client, clientPort, target, targetPort)
}

export function putFlow(
  bytes: Uint8Array,
  at: number,
  client: number,
  clientPort: number,
  target: number,
  targetPort: number
): void {
  const portsAt = at + flowLength(shapeOf(target)) - 4
  if (isIpv6(target)) {
    addressBook.put(client, bytes, at)
    addressBook.put(target, bytes, at + 16)
  } else {
    put32(bytes, at, client)
    put32(bytes, at + 4, target)
  }
  put16(bytes, portsAt, clientPort)
  put16(bytes, portsAt + 2, targetPort)
}

/** An address of a record's flow; 0 if it is IPv6 and not in the book. `internFlow` adds it. */
export function flowClient(bytes: Uint8Array, recordAt: number, shape: number): number {
  const at = recordAt + RECORD_HEAD
  return shape & SHAPE_IPV6 ? addressBook.find(bytes, at) : i32(bytes, at)
}
export function flowTarget(bytes: Uint8Array, recordAt: number, shape: number): number {
  const at = recordAt + RECORD_HEAD
  return shape & SHAPE_IPV6 ? addressBook.find(bytes, at + 16) : i32(bytes, at + 4)
}
/** Adds the addresses of a record's flow to the book. @returns false if the book is full */
export function internFlow(bytes: Uint8Array, recordAt: number, shape: number): boolean {
  const at = recordAt + RECORD_HEAD
  return (shape & SHAPE_IPV6) === 0 || (addressBook.intern(bytes, at) > 0 && addressBook.intern(bytes, at + 16) > 0)
}
export function flowClientPort(bytes: Uint8Array, recordAt: number, shape: number): number {
  return u16(bytes, recordAt + RECORD_HEAD + flowLength(shape) - 4)
}
export function flowTargetPort(bytes: Uint8Array, recordAt: number, shape: number): number {
  return u16(bytes, recordAt + RECORD_HEAD + flowLength(shape) - 2)
}
