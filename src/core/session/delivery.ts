/** Sends on an open connection what the gate lets pass: bytes, then the client's end. */
import { isBefore } from '../../wire/seq.ts'
import { Counter } from '../books/counters.ts'
import type { Gate } from '../gate/gate.ts'
import type { SendQueue } from '../memory/send-queue.ts'
import { type TargetSide, TargetState } from '../target/target-side.ts'
import type { ClientSide } from './client-side.ts'
import type { Reconnects } from './reconnects.ts'
import type { SessionContext } from './session-context.ts'

/** What has become of the session in a turn. */
export const Delivered = {
  /** It goes on. */
  Open: 0,
  /** Both sides have closed, or the client's reset is sent. */
  Ended: 1,
  /** The target has closed, but the client has more to say. */
  TargetClosed: 2
} as const
export type Delivered = (typeof Delivered)[keyof typeof Delivered]

export class Delivery {
  readonly #id: number
  readonly #client: ClientSide
  readonly #queue: SendQueue
  readonly #gate: Gate
  readonly #reconnects: Reconnects
  readonly #context: SessionContext<never>

  /** @param id slot of the session */
  constructor(
    id: number,
    client: ClientSide,
    queue: SendQueue,
    gate: Gate,
    reconnects: Reconnects,
    context: SessionContext<never>
  ) {
    this.#id = id
    this.#client = client
    this.#queue = queue
    this.#gate = gate
    this.#reconnects = reconnects
    this.#context = context
  }

  /**
   * Sends what may go now.
   * @param target the connection, open and acknowledged; @param isWanted another connection waits for its port
   */
  run(target: TargetSide, isWanted: boolean, now: number): Delivered {
    const client = this.#client
    this.#gate.beginTurn()
    if (target.resend(this.#queue, now)) {
      while (this.#sendNext(target, now)) {}
      if (client.isDone) this.#halfClose(target, isWanted, now)
    }
    if (client.isDone && (this.#reset(target, isWanted, now) || this.#close(target, isWanted, now)))
      return Delivered.Ended
    if (this.#gate.isTargetGone) return Delivered.TargetClosed
    target.acknowledge(now)
    return Delivered.Open
  }

  /** Why captured bytes are not sent yet, as text for `--trace`; empty if none wait. */
  waitsFor(target: TargetSide): string {
    if (target.state === TargetState.Waiting) return 'the end of the connection before it, or the time to connect again'
    if (!isBefore(target.sentEnd, this.#queue.end)) return this.#client.stream.hasHole ? 'bytes not captured' : ''
    if (this.#context.rate.isWaiting(this.#id)) return '--max-rate'
    if (this.#gate.lookAgainAt !== Number.POSITIVE_INFINITY) return "the target's answer to the request before"
    return target.waitsFor
  }

  /** @returns true if bytes were sent and more may follow */
  #sendNext(target: TargetSide, now: number): boolean {
    const queue = this.#queue
    const { sentEnd } = target
    if (!isBefore(sentEnd, queue.end)) return false
    const most = this.#context.rate.room(this.#id)
    if (most <= 0) return false
    const { repeatedEnd } = this.#reconnects
    if (sentEnd === queue.admittedEnd && !this.#gate.admit(queue, target, repeatedEnd, now)) return false
    if (!target.send(queue, queue.admittedEnd, most, now)) return false
    if (repeatedEnd !== undefined) this.#reconnects.sent(target.sentEnd)
    const { exchange } = this.#gate
    if (!Number.isNaN(exchange.answeredAt)) {
      this.#context.latency.departs(exchange.answeredAt)
      exchange.answeredAt = Number.NaN
    }
    return true
  }

  #halfClose(target: TargetSide, isWanted: boolean, now: number): void {
    const { stream, finAck, finIpId } = this.#client
    if (!stream.isComplete || target.sentEnd !== stream.finAt) return
    if (this.#gate.mayEnd(finAck, target, isWanted, now)) target.halfClose(finIpId, now)
  }

  /** @returns true if the client's reset was sent, after everything before it was acknowledged */
  #reset(target: TargetSide, isWanted: boolean, now: number): boolean {
    const client = this.#client
    if (!client.hasReset || client.lacksBytes) return false
    if (target.acknowledgedEnd !== target.sentEnd || isBefore(target.acknowledgedEnd, this.#queue.end)) return false
    if (client.resetAck !== 0 && !this.#gate.mayEnd(client.resetAck, target, isWanted, now)) return false
    target.reset(now)
    return true
  }

  /** @returns true if both sides have closed */
  #close(target: TargetSide, isWanted: boolean, now: number): boolean {
    if (!target.isClosed) {
      if (isWanted) target.hasten(now)
      return false
    }
    // A delayed acknowledgment would be lost with the session.
    target.finish()
    this.#context.counters.add(Counter.sessionsClosed, 1)
    return true
  }
}
