/**
 * The flow table maps a flow to an int32 that is not negative. It uses open addressing with linear probing in a typed
 * array, so a lookup creates no garbage and takes constant time.
 */
import { int32At } from '../../wire/bytes.ts'
import type { Flow } from '../../wire/flow.ts'

const SLOT = 4 // client address, server address, both ports, value + 1 (0: empty)
const VALUE = 3

/** Hashes a flow with the finalizer of MurmurHash3. The result is an int32, so V8 does not allocate it. */
function hash(clientAddress: number, serverAddress: number, ports: number): number {
  let bits = Math.imul(clientAddress, 0x9e3779b1) ^ Math.imul(serverAddress, 0x85ebca6b) ^ Math.imul(ports, 0xc2b2ae35)
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return bits ^ (bits >>> 16)
}

export class FlowTable {
  #slots: Int32Array
  #mask: number
  size = 0

  constructor(capacity = 1024) {
    const slots = 1 << Math.ceil(Math.log2(Math.max(16, capacity * 2)))
    this.#slots = new Int32Array(slots * SLOT)
    this.#mask = slots - 1
  }

  /** @returns the flow's value, or −1 */
  get(flow: Flow): number {
    const at = this.#find(flow.clientAddress, flow.serverAddress, flow.ports)
    return int32At(this.#slots, at + VALUE) - 1
  }

  set(flow: Flow, value: number): void {
    const { clientAddress, serverAddress, ports } = flow
    let at = this.#find(clientAddress, serverAddress, ports)
    if (int32At(this.#slots, at + VALUE) === 0) {
      if ((this.size + 1) * 2 > this.#mask) {
        this.#grow()
        at = this.#find(clientAddress, serverAddress, ports)
      }
      this.size += 1
    }
    this.#slots[at] = clientAddress
    this.#slots[at + 1] = serverAddress
    this.#slots[at + 2] = ports
    this.#slots[at + VALUE] = value + 1
  }

  delete(flow: Flow): void {
    const at = this.#find(flow.clientAddress, flow.serverAddress, flow.ports)
    if (int32At(this.#slots, at + VALUE) === 0) return
    this.size -= 1
    this.#close(at)
  }

  /** Passes both addresses of every flow to `take`. */
  eachAddress(take: (address: number) => void): void {
    const slots = this.#slots
    for (let at = 0; at < slots.length; at += SLOT) {
      if (int32At(slots, at + VALUE) === 0) continue
      take(int32At(slots, at))
      take(int32At(slots, at + 1))
    }
  }

  /** @returns the slot of a flow, or the empty slot where it belongs */
  #find(clientAddress: number, serverAddress: number, ports: number): number {
    const slots = this.#slots
    let index = hash(clientAddress, serverAddress, ports) & this.#mask
    for (;;) {
      const at = index * SLOT
      if (int32At(slots, at + VALUE) === 0) return at
      const isFound =
        int32At(slots, at + 2) === ports &&
        int32At(slots, at) === clientAddress &&
        int32At(slots, at + 1) === serverAddress
      if (isFound) return at
      index = (index + 1) & this.#mask
    }
  }

  /** Empties a slot and moves back entries that would no longer be found behind it, so no tombstones are needed. */
  #close(at: number): void {
    const slots = this.#slots
    let hole = at / SLOT
    let index = hole
    for (;;) {
      index = (index + 1) & this.#mask
      const from = index * SLOT
      if (int32At(slots, from + VALUE) === 0) break
      const home = hash(int32At(slots, from), int32At(slots, from + 1), int32At(slots, from + 2)) & this.#mask
      if (((index - home) & this.#mask) < ((index - hole) & this.#mask)) continue
      slots.copyWithin(hole * SLOT, from, from + SLOT)
      hole = index
    }
    slots[hole * SLOT + VALUE] = 0
  }

  #grow(): void {
    const before = this.#slots
    this.#mask = this.#mask * 2 + 1
    this.#slots = new Int32Array((this.#mask + 1) * SLOT)
    for (let from = 0; from < before.length; from += SLOT) {
      if (int32At(before, from + VALUE) === 0) continue
      const at = this.#find(int32At(before, from), int32At(before, from + 1), int32At(before, from + 2))
      for (let word = 0; word < SLOT; word++) this.#slots[at + word] = int32At(before, from + word)
    }
  }
}
