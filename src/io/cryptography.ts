/** The channel's cryptography, based on node:crypto. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import type { Cryptography } from '../ports.ts'

export const cryptography: Cryptography = {
  random: (length) => new Uint8Array(randomBytes(length)),
  hmac: (key, message) => new Uint8Array(createHmac('sha256', key).update(message).digest()),
  isEqual: (one, other) => timingSafeEqual(one, other)
}
