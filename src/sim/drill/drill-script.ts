/** Parses the lines of a drill. See `drill.ts` for their meaning. */
import { parseAddress } from '../../wire/address.ts'
import { parseFlags } from '../../wire/packetdrill.ts'
import { openingLines } from './drill-opening.ts'

export interface Endpoint {
  readonly address: number
  readonly port: number
}

/** One segment of a script. Undefined fields are not written there. */
export interface SegmentLine {
  readonly flags: number
  readonly seq: number
  readonly length: number
  readonly ack: number | undefined
  readonly window: number | undefined
  readonly urgentPointer: number | undefined
  readonly ipId: number | undefined
  readonly ttl: number | undefined
  readonly trafficClass: number | undefined
  readonly options: readonly string[] | undefined
  readonly text: string | undefined
  readonly from: Endpoint | undefined
  readonly to: Endpoint | undefined
}

interface Common {
  readonly number: number
  readonly text: string
  /** Time since the previous line. */
  readonly afterMs: number
}

/** A line about a packet. */
type PacketLine = Common & {
  readonly kind: 'source' | 'target' | 'target+' | 'sent'
  readonly segment: SegmentLine
}

/** Any other line. */
export type PlainLine = Common &
  (
    | { readonly kind: 'nothing' | 'stall' | 'shutdown' }
    | { readonly kind: 'counter' | 'dropped'; readonly name: string; readonly value: number }
    | { readonly kind: 'ended' | 'taken'; readonly name: string }
    | { readonly kind: 'sessions' | 'pieces' | 'lost'; readonly value: number }
    | { readonly kind: 'requests'; readonly outcomes: string }
  )

export type Line = PacketLine | PlainLine

/** Text behind `//` is a comment. */
export function parseScript(script: string): Line[] {
  return script.split('\n').flatMap((raw, index) => {
    const text = raw.replace(/\/\/.*$/, '').trim()
    const [, after, opening] = /^\+(\d+)\s+open\b(.*)$/.exec(text) ?? []
    if (opening !== undefined) return openingLines(Number(after), opening).map((line) => parseLine(line, index + 1))
    return text === '' ? [] : [parseLine(text, index + 1)]
  })
}

function parseLine(text: string, number: number): Line {
  const match = /^\+(\d+(?:\.\d+)?)\s+(\w+\+?)\s*(.*)$/.exec(text)
  const [, after, kind, rest] = match ?? []
  if (after === undefined || kind === undefined || rest === undefined)
    return wrong(number, text, 'not a line of a drill')
  const common = { number, text, afterMs: Number(after) }
  const [first = '', second = ''] = rest.split(/\s+/)
  switch (kind) {
    case 'source':
    case 'target':
    case 'target+':
    case 'sent':
      return { ...common, kind, segment: parseSegment(rest, number) }
    case 'nothing':
    case 'stall':
    case 'shutdown':
      return { ...common, kind }
    case 'counter':
    case 'dropped':
      return { ...common, kind, name: first, value: Number(second) }
    case 'requests':
      return { ...common, kind, outcomes: rest.trim().replace(/\s+/g, ' ') }
    case 'ended':
    case 'taken':
      return { ...common, kind, name: first }
    case 'sessions':
    case 'pieces':
    case 'lost':
      return { ...common, kind, value: Number(first) }
    default:
      return wrong(number, text, `unknown word "${kind}"`)
  }
}

function parseSegment(text: string, number: number): SegmentLine {
  const match = /^(\S+)\s+(\d+):(\d+)\((\d+)\)(.*)$/.exec(text)
  const [, letters = '', from, to, count, rest = ''] = match ?? []
  const flags = parseFlags(letters)
  const seq = Number(from)
  const length = Number(count)
  if (match === null || flags === undefined) return wrong(number, text, 'not a segment')
  if ((seq + length) >>> 0 !== Number(to)) return wrong(number, text, `${from} + ${count} is not ${to}`)
  const options = /<([^>]*)>/.exec(rest)?.[1]
  const quoted = /"([^"]*)"/.exec(rest)?.[1]
  if (quoted !== undefined && quoted.length !== length) wrong(number, text, `the payload has ${quoted.length} bytes`)
  const plain = rest.replace(/<[^>]*>/, ' ').replace(/"[^"]*"/, ' ')
  const { numbers, endpoints } = parseFields(plain.trim(), number, text)
  return {
    flags,
    seq,
    length,
    ack: numbers.get('ack'),
    window: numbers.get('win'),
    urgentPointer: numbers.get('urg'),
    ipId: numbers.get('id'),
    ttl: numbers.get('ttl'),
    trafficClass: numbers.get('tos'),
    options: options?.split(',').filter((option) => option.trim() !== ''),
    text: quoted,
    from: endpoints.get('from'),
    to: endpoints.get('to')
  }
}

const NUMBERS = new Set(['ack', 'win', 'urg', 'id', 'ttl', 'tos'])

function parseFields(plain: string, number: number, text: string) {
  const numbers = new Map<string, number>()
  const endpoints = new Map<string, Endpoint>()
  const words = plain === '' ? [] : plain.split(/\s+/)
  for (let index = 0; index < words.length; index += 2) {
    const word = words[index] ?? ''
    const value = words[index + 1] ?? ''
    if (NUMBERS.has(word) && /^\d+$/.test(value)) numbers.set(word, Number(value))
    else if (word === 'from' || word === 'to') endpoints.set(word, parseEndpoint(value, number, text))
    else wrong(number, text, `what is "${word} ${value}"?`)
  }
  return { numbers, endpoints }
}

function parseEndpoint(value: string, number: number, text: string): Endpoint {
  const [host = '', port = ''] = value.split(':')
  const address = parseAddress(host)
  if (address === undefined || !/^\d+$/.test(port)) return wrong(number, text, `${value} is not address:port`)
  return { address, port: Number(port) }
}

function wrong(number: number, text: string, why: string): never {
  throw new Error(`drill line ${number}: ${text}\n  ${why}`)
}
