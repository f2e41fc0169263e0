/** The progress of a replay, in one line. */

const BAR_LENGTH = 24

/**
 * @param octets bytes of the file read in this round
 * @param length of the file in bytes, 0 if unknown
 * @param rounds of the file; the time left is shown only for one
 */
export function progressText(
  { octets, packets }: { readonly octets: number; readonly packets: number },
  length: number,
  elapsedMs: number,
  rounds: number
): string {
  const rate = `${Math.round((packets * 1000) / Math.max(1, elapsedMs)).toLocaleString('en')} packets/s`
  if (length === 0) return `${packets.toLocaleString('en')} packets, ${rate}`
  const share = Math.min(1, octets / length)
  const filled = Math.round(share * BAR_LENGTH)
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR_LENGTH - filled)}] ${Math.floor(share * 100)} %`
  const left = rounds !== 1 || share === 0 ? '' : `, ${duration((elapsedMs / share) * (1 - share))} left`
  return `${bar}, ${rate}${left}`
}

function duration(ms: number): string {
  const seconds = Math.ceil(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
