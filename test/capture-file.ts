/** Writes capture files for tests, the odd ones too: any byte order, time unit, block and link layer. */

export interface Frame {
  readonly bytes: Uint8Array
  /** Milliseconds. */
  readonly timeMs: number
  /** Octets it had; default: those that are there. */
  readonly wireLength?: number
}

export interface PcapForm {
  readonly isLittle: boolean
  readonly isNano: boolean
  readonly linkType: number
}

function words(values: readonly number[], isLittle: boolean): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) {
    if (isLittle) bytes.writeUInt32LE(value >>> 0, index * 4)
    else bytes.writeUInt32BE(value >>> 0, index * 4)
  }
  return bytes
}

function halves(values: readonly number[], isLittle: boolean): Buffer {
  const bytes = Buffer.alloc(values.length * 2)
  for (const [index, value] of values.entries()) {
    if (isLittle) bytes.writeUInt16LE(value, index * 2)
    else bytes.writeUInt16BE(value, index * 2)
  }
  return bytes
}

export function pcapFile(frames: readonly Frame[], form: PcapForm): Buffer {
  const { isLittle, isNano, linkType } = form
  const header = Buffer.concat([
    words([isNano ? 0xa1b23c4d : 0xa1b2c3d4], isLittle),
    halves([2, 4], isLittle),
    words([0, 0, 0x40000, linkType], isLittle)
  ])
  const records = frames.map(({ bytes, timeMs, wireLength }) => {
    const seconds = Math.floor(timeMs / 1000)
    const fraction = Math.round((timeMs - seconds * 1000) * (isNano ? 1e6 : 1000))
    return Buffer.concat([words([seconds, fraction, bytes.length, wireLength ?? bytes.length], isLittle), bytes])
  })
  return Buffer.concat([header, ...records])
}

/** One option of a pcapng block: code and value. */
export type BlockOption = readonly [code: number, value: Uint8Array]

/** The blocks of a pcapng file, in one byte order. */
export class Blocks {
  readonly #isLittle: boolean

  constructor(isLittle: boolean) {
    this.#isLittle = isLittle
  }

  block(type: number, body: Uint8Array): Buffer {
    const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)])
    const length = words([padded.length + 12], this.#isLittle)
    return Buffer.concat([words([type], this.#isLittle), length, padded, length])
  }

  section(): Buffer {
    const length = words([0xffffffff, 0xffffffff], this.#isLittle)
    return this.block(
      0x0a0d0d0a,
      Buffer.concat([words([0x1a2b3c4d], this.#isLittle), halves([1, 0], this.#isLittle), length])
    )
  }

  interface(linkType: number, options: readonly BlockOption[] = [], snapLength = 0): Buffer {
    const fixed = [halves([linkType, 0], this.#isLittle), words([snapLength], this.#isLittle)]
    return this.block(1, Buffer.concat([...fixed, this.#options(options)]))
  }

  enhanced(index: number, ticks: bigint, bytes: Uint8Array, options: readonly BlockOption[] = []): Buffer {
    const fixed = words(
      [index, Number(ticks >> 32n), Number(ticks & 0xffffffffn), bytes.length, bytes.length],
      this.#isLittle
    )
    const pad = Buffer.alloc((4 - (bytes.length % 4)) % 4)
    return this.block(6, Buffer.concat([fixed, bytes, pad, this.#options(options)]))
  }

  old(index: number, ticks: bigint, bytes: Uint8Array): Buffer {
    const fixed = [
      halves([index, 0], this.#isLittle),
      words([Number(ticks >> 32n), Number(ticks & 0xffffffffn), bytes.length, bytes.length], this.#isLittle)
    ]
    return this.block(2, Buffer.concat([...fixed, bytes]))
  }

  simple(bytes: Uint8Array): Buffer {
    return this.block(3, Buffer.concat([words([bytes.length], this.#isLittle), bytes]))
  }

  /** @param dropped since the capture began */
  statistics(index: number, dropped: number): Buffer {
    const count = this.#isLittle ? words([dropped, 0], true) : words([0, dropped], false)
    return this.block(5, Buffer.concat([words([index, 0, 0], this.#isLittle), this.#options([[5, count]])]))
  }

  #options(options: readonly BlockOption[]): Buffer {
    if (options.length === 0) return Buffer.alloc(0)
    const parts = options.map(([code, value]) =>
      Buffer.concat([halves([code, value.length], this.#isLittle), value, Buffer.alloc((4 - (value.length % 4)) % 4)])
    )
    return Buffer.concat([...parts, halves([0, 0], this.#isLittle)])
  }
}
