/** The books of requests for each of several `-x`, for the JSON log. */
import type { RequestBooks } from '../core/books/request-books.ts'
import type { CopyMap } from '../core/selection/mapping.ts'
import { formatEndpoint } from '../wire/address.ts'

/** Fields such as `map.80-10.0.0.3:8080.requestsCaptured`; none if there is one `-x`, whose books are the totals. */
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
