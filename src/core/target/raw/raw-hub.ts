/** The hub of all raw target sides of a worker: gives each answer to its connection and remembers ended connections. */
import { Flow } from '../../../wire/flow.ts'
import type { Segment } from '../../../wire/segment.ts'
import { Drop } from '../../books/drop.ts'
import type { SendQueue } from '../../memory/send-queue.ts'
import type { PortsPool } from '../../selection/ports-pool.ts'
import type { CapturedClient, ConnectionState } from '../../tcp/control-block.ts'
import type { SegmentTrace } from '../../tcp/tcp-context.ts'
import type { CopiedIdentity } from '../copied-identity.ts'
import type { ConnectionStart, TargetHub } from '../target-hub.ts'
import { TargetState } from '../target-side.ts'
import type { RawContext } from './raw-context.ts'
import { RawTarget } from './raw-target.ts'
import { TimeWait } from './time-wait.ts'

/** Receives each answer of a target, for `--trace`. */
export interface AnswerTrace extends SegmentTrace {
  /** @param client the captured client of the answer's connection; undefined: there is no such connection */
  answered(segment: Segment, client: CapturedClient | undefined, state: ConnectionState | undefined): void
  /** The last answer for this copied client address and port was dropped. */
  refused(address: number, port: number, drop: Drop): void
}

export class RawHub implements TargetHub<Segment> {
  readonly #context: RawContext
  readonly #ports: PortsPool
  readonly #trace: AnswerTrace | undefined
  readonly #timeWait = new TimeWait()
  /** By slot. */
  readonly #targets: (RawTarget | undefined)[] = []
  readonly #flow = new Flow()

  /** @param ports knows which slot holds which client address and port at which target */
  constructor(context: RawContext, ports: PortsPool, trace?: AnswerTrace) {
    this.#context = context
    this.#ports = ports
    this.#trace = trace
  }

  create(slot: number, identity: CopiedIdentity, start: ConnectionStart, now: number): RawTarget {
    const target = new RawTarget(slot, identity, start, this.#context, now)
    this.#targets[slot] = target
    return target
  }

  reconnect(slot: number, identity: CopiedIdentity, clientRttMs: number, now: number): RawTarget {
    const before = this.#at(slot)
    // Late answers are for this connection if the next one is never opened. One that has not ended was left to another
    // tcpcopy together with its port.
    if (before.state === TargetState.Ended) this.#timeWait.add(before.tcb, before.isClosed)
    return this.create(slot, identity, before.nextStart(clientRttMs), now)
  }

  slotOf(segment: Segment): number {
    return this.#ports.holder(this.#flow.fromServer(segment))
  }

  take(slot: number, segment: Segment, queue: SendQueue, now: number): Drop {
    const target = this.#at(slot)
    if (this.#trace !== undefined) this.#trace.answered(segment, target.tcb.identity, target.tcb.state)
    return target.take(segment, queue, now)
  }

  takeLate(segment: Segment): boolean {
    if (this.#trace !== undefined) this.#trace.answered(segment, undefined, undefined)
    const isKnown = this.#timeWait.answer(segment, this.#context.frames)
    if (!isKnown) this.#trace?.refused(segment.toAddress, segment.toPort, Drop.AnswerNoSession)
    return isKnown
  }

  release(slot: number, identity: CopiedIdentity, isForgotten: boolean): void {
    const target = this.#targets[slot]
    if (target !== undefined && !isForgotten) this.#timeWait.add(target.tcb, target.isClosed)
    this.#context.routes.withdraw(slot, identity)
  }

  #at(slot: number): RawTarget {
    const target = this.#targets[slot]
    if (target === undefined) throw new RangeError(`slot ${slot} has no connection`)
    return target
  }

  leave(slot: number): void {
    this.#targets[slot] = undefined
  }

  eachAddress(take: (address: number) => void): void {
    this.#timeWait.eachAddress(take)
  }
}
