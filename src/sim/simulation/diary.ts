/** Counts the packets and stream events of a simulation, and prints them for `--trace`. */
import { formatSegment } from '../../wire/packetdrill.ts'
import { parseIpv4, Segment } from '../../wire/segment.ts'
import type { Scheduler } from '../scenario/scheduler.ts'

export class Diary {
  /** Number of packets and stream events. */
  count = 0
  readonly #scheduler: Scheduler
  readonly #startedAt: number
  readonly #print: ((line: string) => void) | undefined

  constructor(scheduler: Scheduler, print: ((line: string) => void) | undefined) {
    this.#scheduler = scheduler
    this.#startedAt = scheduler.now()
    this.#print = print
  }

  packet(what: string, packet: Uint8Array): void {
    this.count += 1
    if (this.#print === undefined) return
    const segment = new Segment()
    parseIpv4(packet, 0, packet.length, packet.length, false, segment)
    this.#line(what === 'target' ? segment.toPort : segment.fromPort, what, formatSegment(segment))
  }

  /** @param client port of a copied client; @param facts printed by name; of bytes only the length */
  event(what: string, client: number, facts: object): void {
    this.count += 1
    if (this.#print === undefined) return
    const plain = Object.entries(facts).map(([name, value]) => {
      if (value instanceof Uint8Array) return `${value.length} ${name}`
      const isPlain = typeof value !== 'object' && name !== 'at' && name !== 'kind'
      return isPlain ? `${name} ${value}` : ''
    })
    this.#line(client, what, plain.filter((fact) => fact !== '').join(', '))
  }

  #line(client: number, what: string, text: string): void {
    this.#print?.(`${(this.#scheduler.now() - this.#startedAt).toFixed(3)} ${client} ${what} ${text}`)
  }
}
