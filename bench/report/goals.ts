/** The goals of the benchmark, and how each is measured. */
import type { Figures } from '../loads/measure.ts'

export interface Goal {
  readonly what: string
  /** The figure of the C program, version 1.3.0, in the same lab. */
  readonly inC: string
  readonly unit: string
  readonly most?: number
  readonly least?: number
  readonly digits: number
  /**
   * null if the figure is missing.
   * @param load the medians of the load with that name, if it was run. @param fact the median of the fact
   */
  readonly value: (
    load: (name: string) => Figures | undefined,
    fact: (name: string) => number | undefined
  ) => number | null
}

const both = (figures: Figures | undefined) => (figures === undefined ? null : figures.tcpcopyUs + figures.interceptUs)
const ms = (us: number | null | undefined) => (us == null ? null : us / 1000)

function ratio(above: number | null | undefined, below: number | null | undefined): number | null {
  return above == null || below == null ? null : above / below
}

/** The rate of a copy without loss. */
function copyRate(figures: Figures | undefined): number | null {
  return figures === undefined || figures.lost !== 0 ? null : figures.copyRate
}

const cpu = { unit: 'µs', digits: 1 } as const

export const goals: readonly Goal[] = [
  {
    ...cpu,
    what: 'redis SET, 50 connections: CPU of both programs per request',
    inC: '13.2 µs',
    most: 6.6,
    value: (load) => both(load('redis'))
  },
  {
    ...cpu,
    what: 'redis pipeline 16: CPU of both per captured packet',
    inC: '19 µs',
    most: 8,
    value: (load) => load('redis-p16')?.packetUs ?? null
  },
  {
    ...cpu,
    what: 'HTTP keep-alive 512 B: CPU of both per request',
    inC: '16 µs',
    most: 8,
    value: (load) => both(load('http-512'))
  },
  {
    what: 'HTTP keep-alive 20 KB: CPU of intercept per response, relative to 512 B',
    inC: 'one record per packet',
    unit: '',
    digits: 2,
    most: 2,
    value: (load) => ratio(load('http-20k')?.interceptUs, load('http-512')?.interceptUs)
  },
  {
    ...cpu,
    what: 'short HTTP connections: CPU of both per connection',
    inC: '112 µs',
    most: 45,
    value: (load) => both(load('http-short'))
  },
  {
    ...cpu,
    what: 'replay of 500k requests: CPU of both per request',
    inC: '13.5 µs',
    most: 6,
    value: (_load, fact) => fact('offline-both') ?? null
  },
  {
    what: 'one connection: rate of the copy without loss',
    inC: '1,000/s',
    unit: '/s',
    digits: 0,
    least: 8000,
    value: (load) => copyRate(load('one-flat-out'))
  },
  {
    what: 'added delay of a copy, one connection, median',
    inC: '0.2–0.5 ms',
    unit: 'ms',
    digits: 3,
    most: 0.1,
    value: (load) => ms(load('one-paced')?.delayP50Us)
  },
  {
    what: 'the same, 99th percentile',
    inC: '',
    unit: 'ms',
    digits: 3,
    most: 0.5,
    value: (load) => ms(load('one-paced')?.delayP99Us)
  },
  {
    what: 'CPU of tcpcopy relative to the bare loop (redis SET, 50 connections)',
    inC: '',
    unit: '',
    digits: 2,
    most: 2,
    value: (load) => ratio(load('redis')?.tcpcopyUs, load('redis')?.floorUs)
  },
  {
    what: 'memory of tcpcopy per idle session',
    inC: '',
    unit: 'B',
    digits: 0,
    most: 1024,
    value: (load) => load('idle')?.idleBytes ?? null
  },
  {
    what: 'memory of tcpcopy with 100,000 idle sessions',
    inC: '',
    unit: 'MB',
    digits: 0,
    most: 200,
    value: (load) => load('idle')?.tcpcopyMegabytes ?? null
  }
]

export function isReached({ most = Infinity, least = -Infinity }: Goal, value: number): boolean {
  return value <= most && value >= least
}
