/**
 * The books of requests, for each `-x`: each captured request of each copy ends in exactly one outcome. Another thread
 * may read them while they change (docs/internals/books.md).
 */
import { float64At } from '../../wire/bytes.ts'
import { DROPS_END, Drop, dropNames, isChoice, isLoss } from './drop.ts'

/** What becomes of a request. */
export const RequestCount = {
  /** Requests captured, once for each copy. */
  Captured: 0,
  /** Captured, and without an outcome: waiting, or sent. */
  InFlight: 1,
  /** The target answered as the source did, or with less and fell silent. */
  Answered: 2,
  /** The same, but more than `--epoch-timeout` after the client had read the source's answer. */
  AnsweredLate: 3,
  /** The client read no answer before its connection ended. */
  NotAwaited: 4
} as const
export type RequestCount = (typeof RequestCount)[keyof typeof RequestCount]

/** Sent, and then the connection to the target ended without an answer, by reason. */
const NOT_ANSWERED_AT = Math.max(...Object.values(RequestCount)) + 1
/** Not sent, left out by choice, or in flight when tcpcopy was stopped, by reason. */
const DROPPED_AT = NOT_ANSWERED_AT + DROPS_END
const SLOTS = DROPPED_AT + DROPS_END

export class RequestBooks {
  /** Bytes of the books of one `-x`. */
  static readonly byteLength = SLOTS * 8
  readonly maps: number
  readonly #slots: Float64Array

  /** @param slots of `maps` × `byteLength` bytes, zeros */
  constructor(slots: Float64Array) {
    this.#slots = slots
    this.maps = Math.floor(slots.length / SLOTS)
  }

  /** A request was captured, and is in flight. */
  began(map: number): void {
    this.#add(map, RequestCount.Captured, 1)
    this.#add(map, RequestCount.InFlight, 1)
  }

  /** Requests in flight have got an answer, or none is awaited. */
  settle(map: number, outcome: RequestCount, count: number): void {
    this.#add(map, RequestCount.InFlight, -count)
    this.#add(map, outcome, count)
  }

  /** Requests in flight were sent and get no answer. @param reason why their connection has ended */
  leaveUnanswered(map: number, reason: Drop, count: number): void {
    this.#add(map, RequestCount.InFlight, -count)
    this.#add(map, (isLoss(reason) ? NOT_ANSWERED_AT : DROPPED_AT) + reason, count)
  }

  /** A request in flight is given up before it was sent. */
  giveUp(map: number, reason: Drop): void {
    this.#add(map, RequestCount.InFlight, -1)
    this.#add(map, DROPPED_AT + reason, 1)
  }

  /** A request was captured and dropped at once. */
  refuse(map: number, reason: Drop): void {
    this.#add(map, RequestCount.Captured, 1)
    this.#add(map, DROPPED_AT + reason, 1)
  }

  /** Of one `-x`. */
  of(map: number, what: RequestCount): number {
    return float64At(this.#slots, map * SLOTS + what)
  }

  get(what: RequestCount): number {
    return this.#total(what)
  }
  notAnswered(reason: Drop): number {
    return this.#total(NOT_ANSWERED_AT + reason)
  }
  dropped(reason: Drop): number {
    return this.#total(DROPPED_AT + reason)
  }

  /** Requests that were lost: not answered, or given up before they were sent. */
  lost(): number {
    const { requestsNotAnswered = 0, requestsGivenUp = 0 } = this.report()
    return requestsNotAnswered + requestsGivenUp
  }

  /** Captured requests that are neither in flight nor have an outcome, over all `-x`; 0 unless there is a bug. */
  unaccounted(): number {
    let total = 0
    for (let map = 0; map < this.maps; map++) {
      let rest = this.of(map, RequestCount.Captured)
      for (let slot = 1; slot < SLOTS; slot++) rest -= float64At(this.#slots, map * SLOTS + slot)
      total += Math.abs(rest)
    }
    return total
  }

  /** Totals by name, and the reasons of those that were lost or left out. */
  report(): Record<string, number> {
    const fields = outcomeFields((slot) => this.#total(slot))
    for (const reason of Object.values(Drop)) {
      const dropped = this.dropped(reason)
      const notAnswered = this.notAnswered(reason)
      if (dropped > 0) fields[`dropped.${dropNames[reason]}.requests`] = dropped
      if (notAnswered > 0) fields[`notAnswered.${dropNames[reason]}`] = notAnswered
    }
    return fields
  }

  /** Totals of one `-x` by name. */
  reportOf(map: number): Record<string, number> {
    return outcomeFields((slot) => float64At(this.#slots, map * SLOTS + slot))
  }

  #add(map: number, slot: number, count: number): void {
    const at = map * SLOTS + slot
    this.#slots[at] = float64At(this.#slots, at) + count
  }

  #total(slot: number): number {
    let total = 0
    for (let map = 0; map < this.maps; map++) total += float64At(this.#slots, map * SLOTS + slot)
    return total
  }
}

function outcomeFields(get: (slot: number) => number): Record<string, number> {
  let notAnswered = 0
  let givenUp = 0
  let leftOut = 0
  for (let reason = 0; reason < DROPS_END; reason++) {
    notAnswered += get(NOT_ANSWERED_AT + reason)
    const drop = reason as Drop // as: every number below DROPS_END that was counted is a Drop
    if (isChoice(drop)) leftOut += get(DROPPED_AT + reason)
    else if (isLoss(drop)) givenUp += get(DROPPED_AT + reason)
  }
  return {
    requestsCaptured: get(RequestCount.Captured),
    requestsInFlight: get(RequestCount.InFlight),
    requestsAnswered: get(RequestCount.Answered),
    requestsAnsweredLate: get(RequestCount.AnsweredLate),
    requestsNotAwaited: get(RequestCount.NotAwaited),
    requestsNotAnswered: notAnswered,
    requestsGivenUp: givenUp,
    requestsLeftOut: leftOut,
    requestsAtStop: get(DROPPED_AT + Drop.Shutdown)
  }
}
