/**
 * Detects connections on which both sides talk at once, as in HTTP/2, from the acknowledgment numbers of the client's
 * packets alone. On such a connection the client sends while an answer is still arriving: the acknowledgment number of
 * its request then lies between two full segments of the source, and the next one after it as well. The end of an
 * answer lies there only by chance.
 *
 * What is known of a connection is one small number, 0 at first, because it is looked at for every request.
 */

/** Answers that must outlast the next request, beyond those that did not. */
const OUTLASTING = 8

/** Bits of the state: the last request was sent between two full segments of an answer. */
const IS_BETWEEN = 1
/** One of the answers that outlasted the next request, less those that ended before it; at least 0. */
const ONE = 2
const DUPLEX = OUTLASTING * ONE

/** Both sides talk at once. It stays so. */
export function isDuplex(state: number): boolean {
  return state >= DUPLEX
}

/**
 * The state after a packet with a new acknowledgment number. What a client writes at once is one request, even if the
 * answer to its first part is arriving, as with long bursts of pipelined requests.
 * @param state the one before; @param advance bytes that are acknowledged for the first time
 * @param isRequest a request may begin with the packet; @param segmentBytes payload of a full segment of the source
 */
export function afterAck(state: number, advance: number, isRequest: boolean, segmentBytes: number): number {
  const wasBetween = (state & IS_BETWEEN) !== 0
  if (!isRequest && !wasBetween) return state
  const isFull = advance % segmentBytes === 0
  let next = state & ~IS_BETWEEN
  if (wasBetween && isFull) next += ONE
  if (isDuplex(next)) return next
  if (isRequest && isFull) return next | IS_BETWEEN
  return isRequest && next >= ONE ? next - ONE : next
}
