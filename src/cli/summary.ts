/** Statistics as one line of text; the JSON log has every counter. */
import { Drop, dropNames, LEFT_OUT } from '../core/books/drop.ts'
import type { RequestBooks } from '../core/books/request-books.ts'
import type { CopyMap } from '../core/selection/mapping.ts'
import { formatEndpoint } from '../wire/address.ts'

type Report = Readonly<Record<string, number>>

function pick(report: Report, name: string): number {
  return report[name] ?? 0
}

function octets(count: number): string {
  if (count < 10_000) return `${count} B`
  if (count < 10_000_000) return `${(count / 1000).toFixed(1)} kB`
  return `${(count / 1_000_000).toFixed(1)} MB`
}

/** Lists only counters above zero: `dropped badChecksum 3, hole 1`. */
function dropsText(report: Report): string {
  const drops = Object.entries(report).filter(([name]) => /^dropped\.\w+$/.test(name))
  const expected = ['dropped.pureAck', 'dropped.duplicate']
  const named = drops.filter(([name]) => !expected.includes(name))
  if (named.length === 0) return ''
  return `; dropped ${named.map(([name, count]) => `${name.slice('dropped.'.length)} ${count}`).join(', ')}`
}

/** What is dropped for these reasons is no loss: it is left out by choice, or was in flight when tcpcopy was stopped. */
const NO_LOSS = [...LEFT_OUT, Drop.Shutdown].map((reason) => dropNames[reason])

/** Counts by reason: `targetReset 32, hole 1`, preceded by a space and in brackets; empty if there are none. */
function reasonsText(counts: readonly (readonly [string, string])[]): string {
  return counts.length === 0 ? '' : ` (${counts.map(([reason, count]) => `${reason} ${count}`).join(', ')})`
}

/** The losses of a kind by reason: fields such as `dropped.hole.bytes` for the kind `bytes`. */
function losses(report: Report, kind: 'bytes' | 'requests'): [string, number][] {
  return Object.entries(report).flatMap(([name, count]): [string, number][] => {
    const [first, reason = '', last] = name.split('.')
    return first === 'dropped' && last === kind && !NO_LOSS.includes(reason) ? [[reason, count]] : []
  })
}

function payloadText(report: Report): string {
  const lost = losses(report, 'bytes')
  const lostBytes = lost.reduce((total, [, count]) => total + count, 0)
  return (
    `payload captured ${octets(pick(report, 'capturedPayloadBytes'))}, delivered ${octets(pick(report, 'deliveredBytes'))}, ` +
    `pending ${octets(pick(report, 'pendingBytes'))}, lost ${octets(lostBytes)}` +
    reasonsText(lost.map(([reason, count]) => [reason, octets(count)]))
  )
}

/** Every outcome of requests; those that are rare only if they occurred. */
function requestsText(report: Report): string {
  const rare = [
    ['requestsAnsweredLate', 'answered late'],
    ['requestsNotAwaited', 'without an answer at the source'],
    ['requestsLeftOut', 'left out'],
    ['requestsAtStop', 'in flight at the stop']
  ] as const
  const others = rare.flatMap(([name, text]) => (pick(report, name) > 0 ? [`${pick(report, name)} ${text}`] : []))
  const notAnswered = Object.entries(report).flatMap(([name, count]): [string, number][] =>
    name.startsWith('notAnswered.') ? [[`not answered: ${name.slice('notAnswered.'.length)}`, count]] : []
  )
  const givenUp = losses(report, 'requests').map(([reason, count]): [string, number] => [`given up: ${reason}`, count])
  return [
    `requests ${pick(report, 'requestsCaptured')}`,
    `${pick(report, 'requestsAnswered')} answered`,
    ...others,
    `${pick(report, 'requestsInFlight')} in flight`,
    `lost ${pick(report, 'requestsNotAnswered') + pick(report, 'requestsGivenUp')}` +
      reasonsText([...notAnswered, ...givenUp].map(([reason, count]) => [reason, `${count}`]))
  ].join(', ')
}

function packetsText(report: Report): string {
  return (
    `packets captured ${pick(report, 'capturedPackets')} (${pick(report, 'captureDropped')} lost by the kernel), ` +
    `sent ${pick(report, 'sentPackets')} (${pick(report, 'sendRefused')} refused)`
  )
}

/** Empty until a request has waited. */
function latencyText(report: Report): string[] {
  const requests = pick(report, 'latency.requests')
  if (requests === 0) return []
  const ms = (name: string): string => `${name} ${Number(pick(report, `latency.${name}`).toPrecision(3))}`
  return [`ms from answer to next request ${['p50', 'p90', 'p99', 'max'].map(ms).join(', ')} (${requests} waited)`]
}

/** Statistics of `--udp`. */
export function datagramSummary(report: Report): string {
  const live = pick(report, 'sessionsStarted') - pick(report, 'sessionsEnded')
  const flows = `flows ${live} live, ${pick(report, 'sessionsStarted')} in all`
  return `statistics: ${[flows, payloadText(report), packetsText(report)].join('; ')}${dropsText(report)}`
}

export function copySummary(report: Report): string {
  const live = pick(report, 'sessionsStarted') - pick(report, 'sessionsEnded')
  const parts = [
    `sessions ${live} live, ${pick(report, 'sessionsStarted')} in all`,
    requestsText(report),
    payloadText(report),
    packetsText(report),
    ...latencyText(report),
    `intercept connections ${pick(report, 'channelsOpen')}`
  ]
  return `statistics: ${parts.join('; ')}${dropsText(report)}`
}

export function interceptSummary(report: Report): string {
  const parts = [
    `answers captured ${pick(report, 'capturedPackets')} (${pick(report, 'captureDropped')} lost by the kernel)`,
    `headers returned ${pick(report, 'forwardedHeaders')}`,
    `without a route ${pick(report, 'unroutedHeaders')}`,
    `lost to slow readers ${pick(report, 'backlogDropped')}`,
    ...(pick(report, 'passedPackets') > 0 ? [`passed ${pick(report, 'passedPackets')}`] : []),
    `routes ${pick(report, 'routes')}`,
    `tcpcopy connections ${pick(report, 'peersOpen')}`
  ]
  return `statistics: ${parts.join('; ')}`
}

/** The books of requests for each of several `-x`: fields such as `map.80-10.0.0.3:8080.requestsCaptured`; none if there is one `-x`, whose books are the totals. */
export function requestsByMap(books: RequestBooks, maps: readonly CopyMap[]): Record<string, number> {
  const fields: Record<string, number> = {}
  if (maps.length < 2) return fields
  for (const [index, map] of maps.entries()) {
    for (const [name, count] of Object.entries(books.reportOf(index))) fields[`map.${labelOf(map)}.${name}`] = count
  }
  return fields
}

/** An `-x` as it is written on the command line. */
function labelOf({ sourceAddress, sourcePort, targetAddress, targetPort }: CopyMap): string {
  const source = sourceAddress === 0 ? `${sourcePort}` : formatEndpoint(sourceAddress, sourcePort)
  return `${source}-${formatEndpoint(targetAddress, targetPort)}`
}
