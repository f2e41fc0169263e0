/**
 * The ports pool knows which session holds which client address and port at which target; no two live sessions share
 * them. Copies beyond the first have ports below those that Linux gives to clients, so they rarely conflict. If they
 * do, the client's own copy has priority, which `Admission` ensures. Each worker has ports of its own.
 */
import { type CopiedFlow, Flow } from '../../wire/flow.ts'
import { FlowTable } from '../memory/flow-table.ts'
import { type WorkerShare, workerOf } from './worker-share.ts'

const PORT_MIN = 1024
const PORT_MAX = 65_535
/** Ports of one address at one target. */
export const PORTS_EACH = PORT_MAX - PORT_MIN + 1
/** Ports that copies use first: from PORT_MIN up to the first port that Linux gives to clients (32768). */
const HOME_PORTS = 31 * 1024
/** Number of values of `-f`. Each shifts the search by this share of HOME_PORTS. */
export const PORT_SHIFTS = 1024
const ABOVE_PORTS = PORTS_EACH - HOME_PORTS
/** The two parts of the port range. */
const HOME = 0
const ABOVE = 1
type Part = typeof HOME | typeof ABOVE
/** Distance between the ports of successive copies: about HOME_PORTS over the golden ratio, and coprime to it. */
const COPY_STRIDE = 19_619

type Target = Pick<CopiedFlow, 'targetAddress' | 'targetPort'>

function partOf(port: number): Part {
  return port < PORT_MIN + HOME_PORTS ? HOME : ABOVE
}

export class PortsPool {
  readonly #shift: number
  /** Copied flow → slot of the session that holds it. */
  readonly #holders = new FlowTable()
  /** Client address, part and target → number of ports in use, so that a full part is not searched. */
  readonly #taken = new FlowTable()
  readonly #flow = new Flow()
  readonly #share: Pick<WorkerShare, 'worker' | 'workers'>
  /** By part: number of ports of this worker for one address. */
  readonly #room: readonly [number, number]

  /**
   * @param portShift `-f`, from 0 to 1023: shifts where copies begin to search for a port
   * @param share the worker whose ports these are; default: all ports
   */
  constructor(portShift = 0, share: Pick<WorkerShare, 'worker' | 'workers'> = { worker: 0, workers: 1 }) {
    this.#shift = portShift * (HOME_PORTS / PORT_SHIFTS)
    this.#share = share
    const room: [number, number] = [0, 0]
    for (let port = PORT_MIN; port <= PORT_MAX; port++) if (this.#isOwn(port)) room[partOf(port)] += 1
    this.#room = room
  }

  /** Entries of both tables. */
  get size(): number {
    return this.#holders.size + this.#taken.size
  }

  /** Passes every client and target address of sessions to `take`. */
  eachAddress(take: (address: number) => void): void {
    this.#holders.eachAddress(take)
  }

  /** @returns the slot of the session that holds a client address and port, or −1 */
  holder(flow: Flow): number {
    return this.#holders.get(flow)
  }

  holderOf(flow: CopiedFlow): number {
    return this.#holders.get(this.#flow.toTarget(flow))
  }

  /** Gives a client address and port to a session, also if another session held it. */
  take(flow: CopiedFlow, slot: number): void {
    const count = this.#holders.size
    this.#holders.set(this.#flow.toTarget(flow), slot)
    if (this.#holders.size > count) this.#count(flow, 1)
  }

  release(flow: CopiedFlow): void {
    this.#holders.delete(this.#flow.toTarget(flow))
    this.#count(flow, -1)
  }

  /** The client's own port, or the next free one. @returns 0 if none is left */
  forClient(clientAddress: number, port: number, target: Target): number {
    if (this.#isFree(clientAddress, port, target)) return port
    if (this.#isFull(clientAddress, HOME, target) && this.#isFull(clientAddress, ABOVE, target)) return 0
    return this.#search(clientAddress, PORT_MIN, PORTS_EACH, port + 1, port, target)
  }

  /**
   * A port for a further copy. It follows from the client's port while it is free, so that the target sees a port
   * reused when the client reuses its own.
   * @param copy number of the copy, from 1; @returns 0 if none is left
   */
  forCopy(clientAddress: number, port: number, copy: number, target: Target): number {
    const first = PORT_MIN + ((port + this.#shift + (copy - 1) * COPY_STRIDE) % HOME_PORTS)
    if (!this.#isFull(clientAddress, HOME, target)) {
      const found = this.#search(clientAddress, PORT_MIN, HOME_PORTS, first, port, target)
      if (found !== 0) return found
    }
    if (this.#isFull(clientAddress, ABOVE, target)) return 0
    return this.#search(clientAddress, PORT_MIN + HOME_PORTS, ABOVE_PORTS, first + HOME_PORTS, port, target)
  }

  /** Searches `count` ports from `least` on, beginning at `first`, for one that is free and not `own`. */
  #search(clientAddress: number, least: number, count: number, first: number, own: number, target: Target): number {
    let candidate = first >= least && first < least + count ? first : least
    for (let tried = 0; tried < count; tried++) {
      if (candidate !== own && this.#isFree(clientAddress, candidate, target)) return candidate
      candidate = candidate === least + count - 1 ? least : candidate + 1
    }
    return 0
  }

  /** Whether the port belongs to this worker. */
  #isOwn(port: number): boolean {
    const { worker, workers } = this.#share
    return workerOf(port, workers) === worker
  }

  #isFree(clientAddress: number, port: number, { targetAddress, targetPort }: Target): boolean {
    if (!this.#isOwn(port)) return false
    return this.#holders.get(this.#flow.set(clientAddress, port, targetAddress, targetPort)) < 0
  }

  #isFull(clientAddress: number, part: Part, { targetAddress, targetPort }: Target): boolean {
    return this.#taken.get(this.#flow.set(clientAddress, part, targetAddress, targetPort)) >= this.#room[part]
  }

  #count({ clientAddress, clientPort, targetAddress, targetPort }: CopiedFlow, change: number): void {
    if (clientPort < PORT_MIN) return
    const part = partOf(clientPort)
    const flow = this.#flow.set(clientAddress, part, targetAddress, targetPort)
    const count = Math.max(0, this.#taken.get(flow)) + change
    if (count > 0) this.#taken.set(flow, count)
    else this.#taken.delete(flow)
  }
}
