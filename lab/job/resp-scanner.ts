/** Counts requests in a redis protocol stream. */
import { u8 } from '../../src/wire/bytes.ts'

const CR = 0x0d
const LF = 0x0a
const asterisk = 0x2a
const dollar = 0x24
const digitZero = 0x30

const Expecting = {
  /** The first byte of a request: `*` of an array, or of an inline command. */
  Request: 0,
  /** The number of elements, to the end of the line. */
  Count: 1,
  /** `$` and the length of an element, to the end of the line. */
  Length: 2,
  /** The element's bytes and the line's end after them. */
  Element: 3,
  /** An inline command, to the end of the line. */
  Inline: 4
} as const
type Expecting = (typeof Expecting)[keyof typeof Expecting]

/** Counts the requests in the byte stream of a redis client (RESP 2 and 3), which may come in pieces of any size. */
export class RespScanner {
  #expecting: Expecting = Expecting.Request
  #number = 0
  #elementsLeft = 0
  #bytesLeft = 0
  #inlineLength = 0

  /** @returns how many requests these bytes complete */
  feed(bytes: Uint8Array): number {
    let requests = 0
    let at = 0
    while (at < bytes.length) {
      if (this.#expecting === Expecting.Element) {
        const taken = Math.min(this.#bytesLeft, bytes.length - at)
        at += taken
        this.#bytesLeft -= taken
        if (this.#bytesLeft === 0 && this.#endElement()) requests++
      } else if (this.#take(u8(bytes, at++))) requests++
    }
    return requests
  }

  /** @returns whether the byte completes a request */
  #take(byte: number): boolean {
    switch (this.#expecting) {
      case Expecting.Request:
        this.#number = 0
        this.#inlineLength = 0
        this.#expecting = byte === asterisk ? Expecting.Count : Expecting.Inline
        return byte !== asterisk && this.#takeInline(byte)
      case Expecting.Count:
        if (byte !== LF) return this.#takeDigit(byte)
        this.#elementsLeft = this.#number
        this.#number = 0
        this.#expecting = this.#elementsLeft > 0 ? Expecting.Length : Expecting.Request
        return false
      case Expecting.Length:
        if (byte !== LF) return this.#takeDigit(byte)
        this.#bytesLeft = this.#number + 2
        this.#expecting = Expecting.Element
        return false
      case Expecting.Inline:
        return this.#takeInline(byte)
      case Expecting.Element:
        return false
      default:
        return this.#expecting satisfies never
    }
  }

  #takeDigit(byte: number): false {
    if (byte !== CR && byte !== dollar) this.#number = this.#number * 10 + byte - digitZero
    return false
  }

  /** Redis ignores an empty line. */
  #takeInline(byte: number): boolean {
    if (byte !== LF) {
      if (byte !== CR) this.#inlineLength++
      return false
    }
    this.#expecting = Expecting.Request
    return this.#inlineLength > 0
  }

  #endElement(): boolean {
    this.#elementsLeft--
    this.#number = 0
    this.#expecting = this.#elementsLeft > 0 ? Expecting.Length : Expecting.Request
    return this.#elementsLeft === 0
  }
}
