/**
 * As which client address and port each session speaks to its target: no two live sessions have the same pair at one
 * target. Copies beyond the first have their ports below those that clients get from their systems, so that they
 * seldom meet; where they do, the client's own claim goes first, which is for `Sessions` to see to. Of several workers
 * each has ports of its own.
 */
import { type CopiedFlow, Flow } from '../../wire/flow.ts'
import { FlowTable } from '../memory/flow-table.ts'
import { type WorkerShare, workerOf } from './worker-share.ts'

const PORT_MIN = 1024
const PORT_MAX = 65_535
/** Ports of one address at one target. */
export const PORTS_EACH = PORT_MAX - PORT_MIN + 1
/** Copies look here first: from PORT_MIN up to where Linux begins to give ports to clients (32768). */
const HOME_PORTS = 31 * 1024
/** `-f` divides these ports in so many parts. */
export const PORT_SHIFTS = 1024
const ABOVE_PORTS = PORTS_EACH - HOME_PORTS
/** The two parts of an address's ports. */
const HOME = 0
const ABOVE = 1
type Part = typeof HOME | typeof ABOVE
/** From one copy's port to the next one's, about the golden section of HOME_PORTS and prime to it. */
const COPY_STRIDE = 19_619

type Target = Pick<CopiedFlow, 'targetAddress' | 'targetPort'>

function partOf(port: number): Part {
  return port < PORT_MIN + HOME_PORTS ? HOME : ABOVE
}

export class PortsPool {
  readonly #shift: number
  /** Copied flow → slot of the session that speaks now. */
  readonly #holders = new FlowTable()
  /** Client address, part and target → how many ports are taken: what is full is not searched. */
  readonly #taken = new FlowTable()
  readonly #flow = new Flow()
  readonly #share: Pick<WorkerShare, 'worker' | 'workers'>
  /** By part: how many ports there are for one address. */
  readonly #room: readonly [number, number]

  /**
   * @param portShift `-f`, from 0 to 1023: from where on copies look for their ports, in as many parts
   * @param share whose ports these are; default: all are
   */
  constructor(portShift = 0, share: Pick<WorkerShare, 'worker' | 'workers'> = { worker: 0, workers: 1 }) {
    this.#shift = portShift * (HOME_PORTS / PORT_SHIFTS)
    this.#share = share
    const room: [number, number] = [0, 0]
    for (let port = PORT_MIN; port <= PORT_MAX; port++) if (this.#isOwn(port)) room[partOf(port)] += 1
    this.#room = room
  }

  /** Entries of its tables. */
  get size(): number {
    return this.#holders.size + this.#taken.size
  }

  /** Every address as which, and to which, sessions speak. */
  eachAddress(take: (address: number) => void): void {
    this.#holders.eachAddress(take)
  }

  /** @returns the slot of the session that has it, or −1 */
  holder(flow: Flow): number {
    return this.#holders.get(flow)
  }

  holderOf(flow: CopiedFlow): number {
    return this.#holders.get(this.#flow.toTarget(flow))
  }

  /** Gives it to a session, also when another hands it on. */
  take(flow: CopiedFlow, slot: number): void {
    const count = this.#holders.size
    this.#holders.set(this.#flow.toTarget(flow), slot)
    if (this.#holders.size > count) this.#count(flow, 1)
  }

  release(flow: CopiedFlow): void {
    this.#holders.delete(this.#flow.toTarget(flow))
    this.#count(flow, -1)
  }

  /** The client's own port, or the next that no session has. @returns 0 if none is left */
  forClient(clientAddress: number, port: number, target: Target): number {
    if (this.#isFree(clientAddress, port, target)) return port
    if (this.#isFull(clientAddress, HOME, target) && this.#isFull(clientAddress, ABOVE, target)) return 0
    return this.#search(clientAddress, PORT_MIN, PORTS_EACH, port + 1, port, target)
  }

  /**
   * A port for the copy number `copy`, from 1, of a client. It depends on the client's port as long as it is free, so
   * that a port at the target is used again as the client uses its own again. @returns 0 if none is left
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

  /** Looks through `count` ports from `least` on, beginning at `first`, for one that is free and not `own`. */
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
