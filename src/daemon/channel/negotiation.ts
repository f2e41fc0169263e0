/**
 * The negotiation of version 2: the bytes exchanged so far, and the proofs computed over them. Both ends keep the same
 * bytes; see docs/channel.md, "Proof".
 */
import type { Cryptography } from '../../ports.ts'
import { copyBytes } from '../../wire/bytes.ts'
import { type Framing, Framings, MESSAGE_LENGTH } from '../../wire/channel/channel-v1.ts'
import { ACCEPTANCE_LENGTH, INTRODUCTION_WITH_PROOF, PROOF_LENGTH, VERSION_2 } from '../../wire/channel/channel-v2.ts'

const ACCEPTANCE_AT = MESSAGE_LENGTH
const INTRODUCTION_AT = ACCEPTANCE_AT + ACCEPTANCE_LENGTH
const END = INTRODUCTION_AT + INTRODUCTION_WITH_PROOF

/** How a program uses the channel. */
export interface ChannelOptions {
  /** Highest version: 1 or 2. */
  readonly version: number
  /** Both ends must prove that they know it; undefined: no proof. */
  readonly secret: Uint8Array | undefined
  /** Framing of version 1's records. Any other than `Combined` requires version 1. */
  readonly framing: Framing
  /** Version 1 without routes (`--single`): all answers go to one tcpcopy. */
  readonly isSingle: boolean
}

export const CHANNEL_DEFAULT: ChannelOptions = {
  version: VERSION_2,
  secret: undefined,
  framing: Framings.Combined,
  isSingle: false
}

export class Negotiation {
  readonly #bytes = new Uint8Array(END)
  readonly #cryptography: Cryptography

  constructor(cryptography: Cryptography) {
    this.#cryptography = cryptography
  }

  hello(bytes: Uint8Array, at: number): void {
    copyBytes(bytes, at, this.#bytes, 0, MESSAGE_LENGTH)
  }

  acceptance(bytes: Uint8Array, at: number): void {
    copyBytes(bytes, at, this.#bytes, ACCEPTANCE_AT, ACCEPTANCE_LENGTH)
  }

  /** @param length the whole introduction, or the part before the proof */
  introduction(bytes: Uint8Array, at: number, length: number): void {
    copyBytes(bytes, at, this.#bytes, INTRODUCTION_AT, length)
  }

  /** tcpcopy's proof. Requires hello, acceptance, and the introduction up to the proof. */
  proofOfTcpcopy(secret: Uint8Array): Uint8Array {
    return this.#proof(secret, 'tcpcopy 2 tcpcopy', END - PROOF_LENGTH)
  }

  /** intercept's proof. Requires the whole introduction. */
  proofOfIntercept(secret: Uint8Array): Uint8Array {
    return this.#proof(secret, 'tcpcopy 2 intercept', END)
  }

  isProof(proof: Uint8Array, bytes: Uint8Array, at: number): boolean {
    return this.#cryptography.isEqual(proof, bytes.slice(at, at + PROOF_LENGTH))
  }

  #proof(secret: Uint8Array, label: string, length: number): Uint8Array {
    const message = new Uint8Array(label.length + length)
    for (let index = 0; index < label.length; index++) message[index] = label.charCodeAt(index)
    copyBytes(this.#bytes, 0, message, label.length, length)
    return this.#cryptography.hmac(secret, message)
  }
}
