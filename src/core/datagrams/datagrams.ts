/**
 * Copies captured datagrams (`--udp`) in the turn in which they were captured. Nothing is acknowledged, so what the
 * kernel accepts counts as delivered.
 *
 * A flow is what one client address and port sends to one source address and port. Whether it is copied, how often, and
 * with which client addresses and ports is decided once. A flow that is silent for FLOW_IDLE_MS is forgotten.
 */
import type { Datagram } from '../../wire/datagram.ts'
import { type CopiedFlow, Flow } from '../../wire/flow.ts'
import { Counter, type Counters } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { FlowTable } from '../memory/flow-table.ts'
import { TimerWheel } from '../memory/timer-wheel.ts'
import type { LoopGuard } from '../selection/loop-guard.ts'
import type { Mapping } from '../selection/mapping.ts'
import type { OwnAddresses } from '../selection/own-addresses.ts'
import { PortsPool } from '../selection/ports-pool.ts'
import { Sampling } from '../selection/sampling.ts'
import { loopGuardOf, mappingOf, type SelectionSettings } from '../selection/settings.ts'
import type { WorkerShare } from '../selection/worker-share.ts'
import type { DatagramWriter } from './datagram-writer.ts'

/** The timeout of Linux's connection tracking for flows with answers (nf_conntrack_udp_timeout_stream). */
export const FLOW_IDLE_MS = 120_000

export interface DatagramsOptions {
  readonly selection: SelectionSettings
  /** Limit of flows. Beyond it, another flow is forgotten for each new one. */
  readonly flowsMax: number
  readonly share?: WorkerShare
  /** The addresses of this host; undefined: unknown. */
  readonly own?: OwnAddresses | undefined
}

/** A captured flow and its copies. */
class DatagramFlow {
  readonly fromAddress: number
  readonly fromPort: number
  readonly toAddress: number
  readonly toPort: number
  readonly copies: readonly CopiedFlow[]
  /** Why there are no copies, if there are none. */
  readonly refusal: Drop
  usedAt: number

  constructor(datagram: Datagram, copies: readonly CopiedFlow[], refusal: Drop, now: number) {
    this.fromAddress = datagram.fromAddress
    this.fromPort = datagram.fromPort
    this.toAddress = datagram.toAddress
    this.toPort = datagram.toPort
    this.copies = copies
    this.refusal = refusal
    this.usedAt = now
  }
}

export class Datagrams {
  readonly #flowsMax: number
  readonly #mapping: Mapping
  readonly #writer: DatagramWriter
  readonly #counters: Counters
  readonly #sampling: Sampling
  /** Undefined: there can be no loop. */
  readonly loops: LoopGuard | undefined
  readonly #ports: PortsPool
  /** Captured flow → slot in `#flows`. */
  readonly #bySource = new FlowTable()
  readonly #key = new Flow()
  readonly #flows: (DatagramFlow | undefined)[] = []
  readonly #freeSlots: number[] = []
  readonly #wheel: TimerWheel
  /** The slot to free next when there are too many flows. */
  #hand = 0
  #now: number
  readonly #fire = (slot: number): void => this.#onDue(slot)

  constructor(options: DatagramsOptions, writer: DatagramWriter, counters: Counters, now: number) {
    const { selection, share, own } = options
    this.#flowsMax = options.flowsMax
    this.#mapping = mappingOf(selection, own)
    this.loops = loopGuardOf(selection, own, share?.loops)
    this.#writer = writer
    this.#counters = counters
    this.#sampling = new Sampling(selection.sampling, now, share?.sampling)
    this.#ports = new PortsPool(selection.portShift, share)
    this.#wheel = new TimerWheel(now)
    this.#now = now
  }

  /** Flows that are remembered. */
  get count(): number {
    return this.#flows.length - this.#freeSlots.length
  }

  /** Passes every address that is in use to `take`. */
  eachAddress(take: (address: number) => void): void {
    this.#bySource.eachAddress(take)
    this.#ports.eachAddress(take)
    this.loops?.eachAddress(take)
  }

  /** When `onTimer` must be called at the latest. */
  get deadline(): number {
    return this.#wheel.next()
  }

  /** Copies a datagram whose payload the writer has just taken. @returns why it was dropped, or None */
  onSource(datagram: Datagram, now: number): Drop {
    const { payloadLength } = datagram
    this.#counters.add(Counter.capturedPayloadBytes, payloadLength)
    const found = this.#flows[this.#bySource.get(this.#key.fromClient(datagram))]
    const flow = found ?? this.#begin(datagram, now)
    if (flow === undefined) return this.#refuse(Drop.NotMapped, payloadLength)
    flow.usedAt = now
    const { copies } = flow
    if (copies.length === 0) return this.#refuse(flow.refusal, payloadLength)
    if (payloadLength > 0) this.loops?.sawRequest(datagram, now)
    if (this.loops?.refusesDatagram(datagram.fromAddress, now) === true) return this.#refuse(Drop.Loop, payloadLength)
    this.#counters.add(Counter.capturedPayloadBytes, payloadLength * (copies.length - 1))
    for (let index = 0; index < copies.length; index++) {
      const copy = copies[index]
      if (copy !== undefined) this.#writer.write(datagram, copy)
    }
    return Drop.None
  }

  onTimer(now: number): void {
    this.#now = now
    this.#wheel.advance(now, this.#fire)
  }

  /** Forgets all flows. */
  shutdown(): void {
    for (const slot of this.#flows.keys()) this.#forget(slot)
  }

  #refuse(drop: Drop, payloadLength: number): Drop {
    this.#counters.drop(drop, 1, payloadLength)
    return drop
  }

  /** Starts a flow. @returns undefined if no mapping matches */
  #begin(datagram: Datagram, now: number): DatagramFlow | undefined {
    const maps = this.#mapping.find(datagram.toAddress, datagram.toPort)
    if (maps.length === 0) return undefined
    const slot = this.#takeSlot()
    const isFromTarget = this.loops?.refusesClient(datagram.fromAddress) === true
    const refusal = isFromTarget ? Drop.FromTarget : this.#sampling.refusal(true, now)
    const copies: CopiedFlow[] = []
    if (refusal !== Drop.None) this.#counters.add(Counter.flowsLeftOut, isFromTarget ? 0 : 1)
    else {
      const count = this.#sampling.copies()
      for (const mapIndex of maps) this.#addCopies(datagram, mapIndex, count, slot, copies)
      this.#counters.add(Counter.sessionsStarted, copies.length)
    }
    const flow = new DatagramFlow(datagram, copies, refusal === Drop.None ? Drop.NoFreePort : refusal, now)
    this.#flows[slot] = flow
    this.#bySource.set(this.#key.fromClient(flow), slot)
    this.#wheel.arm(slot, now + FLOW_IDLE_MS)
    return flow
  }

  /** Adds the copies of a flow to one target. The first uses the client's own port if that is free. */
  #addCopies(datagram: Datagram, mapIndex: number, count: number, slot: number, copies: CopiedFlow[]): void {
    const mapping = this.#mapping
    const map = mapping.maps[mapIndex]
    if (map === undefined) return
    const { targetAddress, targetPort } = map
    for (let number = 0; number < count; number++) {
      const clientAddress = mapping.clientAddress(datagram.fromAddress, targetAddress, number)
      const clientPort =
        clientAddress === 0
          ? 0
          : number === 0
            ? this.#ports.forClient(clientAddress, datagram.fromPort, map)
            : this.#ports.forCopy(clientAddress, datagram.fromPort, number, map)
      if (clientPort === 0) {
        this.#counters.add(Counter.copiesRefused, 1)
        continue
      }
      const copy = { clientAddress, clientPort, targetAddress, targetPort }
      this.#ports.take(copy, slot)
      copies.push(copy)
      if (number > 0) this.#counters.add(Counter.copiesStarted, 1)
    }
  }

  #takeSlot(): number {
    for (; this.count >= this.#flowsMax; this.#hand++) {
      if (this.#hand >= this.#flows.length) this.#hand = 0
      this.#forget(this.#hand)
    }
    return this.#freeSlots.pop() ?? this.#flows.push(undefined) - 1
  }

  #forget(slot: number): void {
    const flow = this.#flows[slot]
    if (flow === undefined) return
    this.#flows[slot] = undefined
    this.#freeSlots.push(slot)
    this.#wheel.disarm(slot)
    this.#bySource.delete(this.#key.fromClient(flow))
    for (const copy of flow.copies) this.#ports.release(copy)
    this.#counters.add(Counter.sessionsEnded, flow.copies.length)
  }

  /** Arms the wheel again if the flow was used since; otherwise forgets the flow. */
  #onDue(slot: number): void {
    const flow = this.#flows[slot]
    if (flow === undefined) return
    const due = flow.usedAt + FLOW_IDLE_MS
    if (due > this.#now) this.#wheel.arm(slot, due)
    else this.#forget(slot)
  }
}
