/** Statistics as one line of text; the JSON log has every counter. */
import { dropNames, LEFT_OUT } from '../core/books/drop.ts'

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
  const drops = Object.entries(report).filter(([name]) => name.startsWith('dropped.') && !name.endsWith('.bytes'))
  const expected = ['dropped.pureAck', 'dropped.duplicate']
  const named = drops.filter(([name]) => !expected.includes(name))
  if (named.length === 0) return ''
  return `; dropped ${named.map(([name, count]) => `${name.slice('dropped.'.length)} ${count}`).join(', ')}`
}

function payloadText(report: Report): string {
  const leftOut = LEFT_OUT.reduce<number>(
    (total, reason) => total + pick(report, `dropped.${dropNames[reason]}.bytes`),
    0
  )
  return (
    `payload captured ${octets(pick(report, 'capturedPayloadBytes'))}, delivered ${octets(pick(report, 'deliveredBytes'))}, ` +
    `pending ${octets(pick(report, 'pendingBytes'))}, lost ${octets(pick(report, 'droppedBytes') - leftOut)}`
  )
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
    `requests ${pick(report, 'epochs')}`,
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
