/**
 * Statistics as one line of text: rates since the last line, then only what is not normal. It is made of a plain object
 * of numbers, as the JSON log has them.
 */
import { dropNames, NO_LOSS } from '../core/books/drop.ts'
import type { Histogram } from '../core/books/histogram.ts'

export type Report = Readonly<Record<string, number>>

/** A whole line of the log, with its time. */
const LINE_MAX = 160
const TIME_LENGTH = '2026-01-01T00:00:00.000Z '.length
/** Room for what says that there is more. */
const MORE_LENGTH = '; 99 more'.length
/** Bytes that wait for the target without being worth a word. */
const PENDING_NORMAL = 1_000_000

const NO_LOSS_NAMES = NO_LOSS.map((reason) => dropNames[reason])

/** What happened between two lines. */
export interface Period {
  /** Values now, and at the last line. */
  readonly now: Report
  readonly before: Report
  readonly seconds: number
  /** All the time since the start. */
  readonly isWhole?: boolean
  /** Time from answers to the requests that waited for them, in µs; undefined: it is not measured. */
  readonly latency?: Histogram | undefined
}

/** What is always said, and what is said because it is not normal, most important first. */
export interface Parts {
  readonly always: readonly string[]
  readonly abnormal: readonly (string | undefined)[]
}

/** Remembers the last line, so that the next one has rates. */
export class StatisticsLine {
  readonly #partsOf: (period: Period) => Parts
  readonly #latency: (() => Histogram) | undefined
  readonly #startedAt: number
  #before: Report = {}
  #latencyBefore: Histogram | undefined
  #at: number

  /** @param latency of all requests so far */
  constructor(partsOf: (period: Period) => Parts, nowMs: number, latency?: () => Histogram) {
    this.#partsOf = partsOf
    this.#latency = latency
    this.#startedAt = nowMs
    this.#at = nowMs
  }

  /** @param isFinal covers all the time since the start */
  next(now: Report, nowMs: number, isFinal: boolean): string {
    const since = isFinal ? this.#startedAt : this.#at
    const seconds = Math.max(0.001, (nowMs - since) / 1000)
    const latency = this.#latency?.()
    const period = {
      now,
      before: isFinal ? {} : this.#before,
      seconds,
      isWhole: isFinal,
      latency: isFinal ? latency : latency?.since(this.#latencyBefore)
    }
    this.#before = now
    this.#latencyBefore = latency
    this.#at = nowMs
    return fit(isFinal ? 'statistics since the start' : 'statistics', this.#partsOf(period))
  }
}

/** Joins the parts, and leaves out those for which there is no room; the JSON log has them. */
export function fit(title: string, { always, abnormal }: Parts): string {
  const room = LINE_MAX - TIME_LENGTH
  let line = `${title}: ${always.join(', ')}`.slice(0, room)
  let left = 0
  for (const part of abnormal) {
    if (part === undefined) continue
    if (line.length + `; ${part}`.length <= room - MORE_LENGTH) line += `; ${part}`
    else left += 1
  }
  return left === 0 || line.length > room - MORE_LENGTH ? line : `${line}; ${left} more`
}

export function copyParts(period: Period): Parts {
  const { now, latency } = period
  const live = pick(now, 'sessionsStarted') - pick(now, 'sessionsEnded')
  const requests = grown(period, 'requestsCaptured')
  const late = grown(period, 'requestsAnsweredLate')
  const inTime = grown(period, 'requestsAnswered')
  const lost = grown(period, 'requestsNotAnswered') + grown(period, 'requestsGivenUp')
  const decided = inTime + late + lost
  const inFlight = pick(now, 'requestsInFlight')
  const none = inFlight > 0 ? [`none answered, ${inFlight} in flight`] : []
  const answered = decided <= 0 ? none : [`${percent((inTime + late) / decided)} answered`]
  const behind =
    latency === undefined || latency.count === 0
      ? []
      : [`behind by ${ms(latency.quantile(0.5) / 1000)} (p99 ${ms(latency.quantile(0.99) / 1000)})`]
  return {
    always: [
      ...(period.isWhole === true ? [counted(requests, 'request')] : []),
      `${rate(requests, period)} requests/s`,
      ...answered,
      ...behind,
      counted(live, 'connection')
    ],
    abnormal: [
      lost > 0 ? `${counted(lost, 'request')} lost` : undefined,
      ...lossReasons(period),
      pick(now, 'channelsOpen') === 0 ? 'not connected to intercept' : undefined,
      count(late, 'answered late'),
      ...packetFaults(period),
      count(grown(period, 'requestsLeftOut'), 'left out'),
      count(grown(period, 'requestsNotAwaited'), 'without an answer at the source'),
      count(grown(period, 'requestsAtStop'), 'in flight at the stop'),
      count(grown(period, 'sessionsReset'), 'reset by the target'),
      count(grown(period, 'refusals'), 'SYNs refused by the target')
    ]
  }
}

/** Statistics of `--udp`. */
export function datagramParts(period: Period): Parts {
  const { now } = period
  const live = pick(now, 'sessionsStarted') - pick(now, 'sessionsEnded')
  return {
    always: [`${rate(grown(period, 'sentPackets'), period)} packets/s sent`, counted(live, 'flow')],
    abnormal: packetFaults(period)
  }
}

export function interceptParts(period: Period): Parts {
  const { now } = period
  const captured = grown(period, 'capturedPackets')
  return {
    always: [
      `${rate(captured, period)} answers/s`,
      `${rate(grown(period, 'forwardedHeaders'), period)} returned/s`,
      counted(pick(now, 'routes'), 'route'),
      counted(pick(now, 'peersOpen'), 'tcpcopy connection')
    ],
    abnormal: [
      count(grown(period, 'captureDropped'), 'lost in capture'),
      count(grown(period, 'backlogDropped'), 'lost to slow readers'),
      count(grown(period, 'unroutedHeaders'), 'without a route'),
      count(grown(period, 'passedPackets'), 'passed'),
      count(grown(period, 'peersRejected'), 'connections refused')
    ]
  }
}

/** Why requests were lost, most frequent first: `2 not answered: targetReset`, `1 given up: hole`. */
function lossReasons(period: Period): readonly string[] {
  const reasons: (readonly [string, number])[] = []
  for (const name of Object.keys(period.now)) {
    const [first, reason = '', kind] = name.split('.')
    const amount = grown(period, name)
    if (amount <= 0) continue
    if (first === 'notAnswered') reasons.push([`${amount} not answered: ${reason}`, amount])
    else if (first === 'dropped' && kind === 'requests' && !NO_LOSS_NAMES.includes(reason)) {
      reasons.push([`${amount} given up: ${reason}`, amount])
    }
  }
  return reasons.sort(([, one], [, other]) => other - one).map(([text]) => text)
}

/** What went wrong with packets and bytes. */
function packetFaults(period: Period): readonly (string | undefined)[] {
  const { now } = period
  const leftOut = NO_LOSS_NAMES.map((name) => `dropped.${name}`)
  const lost =
    grown(period, 'droppedBytes') - leftOut.reduce((total, name) => total + grown(period, `${name}.bytes`), 0)
  const expected = ['dropped.pureAck', 'dropped.duplicate', ...leftOut]
  const reasons = Object.keys(now)
    .filter((name) => name.startsWith('dropped.') && !/\.(bytes|requests)$/.test(name) && !expected.includes(name))
    .map((name) => [name.slice('dropped.'.length), grown(period, name)] as const)
    .filter(([, packets]) => packets > 0)
    .sort(([, one], [, other]) => other - one)
  const pending = pick(now, 'pendingBytes')
  return [
    lost > 0 ? `lost ${bytes(lost)}` : undefined,
    count(grown(period, 'captureDropped'), 'lost in capture'),
    count(grown(period, 'sendRefused'), 'refused by the kernel'),
    pending > PENDING_NORMAL ? `pending ${bytes(pending)}` : undefined,
    reasons.length > 0 ? `dropped ${reasons.map(([name, packets]) => `${name} ${packets}`).join(', ')}` : undefined
  ]
}

function pick(report: Report, name: string): number {
  return report[name] ?? 0
}

function grown({ now, before }: Period, name: string): number {
  return pick(now, name) - pick(before, name)
}

function rate(amount: number, { seconds }: Period): string {
  const perSecond = amount / seconds
  return perSecond >= 10 || perSecond === 0 ? `${Math.round(perSecond)}` : perSecond.toPrecision(2)
}

/** Never rounds up to 100 %. */
function percent(share: number): string {
  return share === 1 ? '100 %' : `${(Math.floor(share * 1000) / 10).toFixed(1)} %`
}

function ms(value: number): string {
  return `${Number(value.toPrecision(2))} ms`
}

function count(amount: number, what: string): string | undefined {
  return amount > 0 ? `${amount} ${what}` : undefined
}

function counted(amount: number, what: string): string {
  return `${amount} ${what}${amount === 1 ? '' : 's'}`
}

function bytes(amount: number): string {
  if (amount < 10_000) return `${amount} B`
  return amount < 10_000_000 ? `${(amount / 1000).toFixed(1)} kB` : `${(amount / 1_000_000).toFixed(1)} MB`
}
