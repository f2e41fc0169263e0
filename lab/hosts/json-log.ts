/** The lines that tcpcopy and intercept write with `--log-format json`. */
export type LogEntry = Readonly<Record<string, unknown>>

/** undefined if the line is not a JSON object. */
function parseLogLine(line: string): LogEntry | undefined {
  try {
    const value: unknown = JSON.parse(line)
    // An object with string keys is all that LogEntry says.
    return typeof value === 'object' && value !== null ? (value as LogEntry) : undefined
  } catch {
    return undefined
  }
}

export function hasMessage(line: string, message: string): boolean {
  return parseLogLine(line)?.message === message
}

/** The last statistics that were logged, or undefined. */
export function lastStatistics(log: string): LogEntry | undefined {
  const lines = log.split('\n').filter((line) => hasMessage(line, 'statistics'))
  return parseLogLine(lines.at(-1) ?? '')
}

/** A counter of the statistics; null if it is missing. */
export function counter(statistics: LogEntry | undefined, name: string): number | null {
  const value = statistics?.[name]
  return typeof value === 'number' ? value : null
}

/** Describes how much payload tcpcopy dropped for which reasons. What `-r` leaves out is not a loss. */
export function dropsOf(statistics: LogEntry): string[] {
  return Object.entries(statistics)
    .filter(([name, value]) => /^dropped\.(?!sampledOut\.).*\.bytes$/.test(name) && value !== 0)
    .map(([name, value]) => `${name.replace(/^dropped\.|\.bytes$/g, '')} ${String(value)} bytes`)
}

/** Describes what is wrong with the books of requests, in sentences. */
export function requestProblems(statistics: LogEntry): string[] {
  const unaccounted = counter(statistics, 'unaccountedRequests') ?? 0
  const lost = Object.entries(statistics).filter(
    ([name, count]) => /^notAnswered\.|^dropped\.(?!sampledOut\.|shutdown\.).*\.requests$/.test(name) && count !== 0
  )
  return [
    ...(unaccounted === 0 ? [] : [`The books of tcpcopy do not close: ${unaccounted} requests are unaccounted for.`]),
    ...lost.map(([name, count]) => `tcpcopy lost requests: ${name} ${String(count)}.`)
  ]
}
