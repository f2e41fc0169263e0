/**
 * The channel in memory: streams whose bytes arrive late and in parts, a listener that may be away, and broken
 * connections.
 */
import type { Listener, Network, Stream } from '../../ports.ts'
import { formatEndpoint } from '../../wire/address.ts'
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { ChannelWeather } from '../scenario/weather.ts'

const INPUT_LENGTH = 16384
/** Most parts in flight. Beyond it, the stream accepts no more for a while. */
const PARTS_MAX = 32

class MemoryStream implements Stream {
  readonly peer: string
  readonly failure = ''
  readonly input = new Uint8Array(INPUT_LENGTH)
  inputLength = 0
  open = true
  other: MemoryStream | undefined
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #weather: ChannelWeather
  readonly #wake: () => void
  #arrived: number[] = []
  #hasEnded = false
  /** When the last bytes written arrive. Later ones do not overtake them. */
  #lastAt = 0
  #parts = 0
  #isWritableWanted = false

  constructor(peer: string, scheduler: Scheduler, random: Random, weather: ChannelWeather, wake: () => void) {
    this.peer = peer
    this.#scheduler = scheduler
    this.#random = random
    this.#weather = weather
    this.#wake = wake
  }

  /** Bytes, or the end of the stream, can be read. */
  get hasInput(): boolean {
    return this.open && (this.#arrived.length > 0 || this.#hasEnded)
  }

  read(): number {
    const taken = this.#arrived.splice(0, Math.min(INPUT_LENGTH - this.inputLength, this.#weather.chunkMax))
    this.input.set(taken, this.inputLength)
    this.inputLength += taken.length
    return taken.length === 0 && this.#hasEnded ? -1 : taken.length
  }

  write(bytes: Uint8Array, at: number, length: number): number {
    if (this.#hasEnded) return -1
    if (this.#parts >= PARTS_MAX) return 0
    const part = bytes.slice(at, at + Math.min(length, this.#weather.chunkMax))
    this.#parts += 1
    this.#later(() => {
      this.#parts -= 1
      this.other?.arrive(part)
      if (this.#isWritableWanted) this.#wake()
    })
    return part.length
  }

  arrive(part: Uint8Array): void {
    for (const byte of part) this.#arrived.push(byte)
    this.#wake()
  }

  end(): void {
    this.#hasEnded = true
    this.#wake()
  }

  awaitWritable(wanted: boolean): void {
    this.#isWritableWanted = wanted
  }

  close(): void {
    this.open = false
    this.#hasEnded = true
    this.#later(() => this.other?.end())
  }

  #later(run: () => void): void {
    const { delayMs, jitterMs } = this.#weather
    this.#lastAt = Math.max(this.#lastAt, this.#scheduler.now() + delayMs + this.#random.next() * jitterMs)
    this.#scheduler.at(this.#lastAt, run)
  }
}

/** One listener and all connections to it. */
export class MemoryNetwork implements Network, Listener {
  /** False: new connections are refused. */
  isListening = true
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #weather: ChannelWeather
  readonly #wakeClient: () => void
  readonly #wakeServer: () => void
  readonly #accepted: MemoryStream[] = []
  #live: MemoryStream[] = []

  constructor(
    scheduler: Scheduler,
    random: Random,
    weather: ChannelWeather,
    wakeClient: () => void,
    wakeServer: () => void
  ) {
    this.#scheduler = scheduler
    this.#random = random
    this.#weather = weather
    this.#wakeClient = wakeClient
    this.#wakeServer = wakeServer
  }

  connect(address: number, port: number): Stream {
    const scheduler = this.#scheduler
    const peer = formatEndpoint(address, port)
    const near = new MemoryStream(peer, scheduler, this.#random, this.#weather, this.#wakeClient)
    if (!this.isListening) {
      near.open = false
      scheduler.after(this.#weather.delayMs, () => near.end())
      return near
    }
    const far = new MemoryStream('copier', scheduler, this.#random, this.#weather, this.#wakeServer)
    near.other = far
    far.other = near
    this.#accepted.push(far)
    this.#live = [...this.#live.filter((stream) => stream.open), near]
    scheduler.after(this.#weather.delayMs, this.#wakeServer)
    scheduler.after(this.#weather.delayMs, this.#wakeClient)
    return near
  }

  accept(): Stream | undefined {
    return this.#accepted.shift()
  }

  get hasInputForClient(): boolean {
    return this.#live.some((stream) => stream.hasInput)
  }

  get hasInputForServer(): boolean {
    return this.#live.some((stream) => stream.other?.hasInput === true)
  }

  /** Breaks all connections, as a firewall that restarts does. */
  cut(): void {
    for (const stream of this.#live.splice(0)) {
      stream.end()
      stream.other?.end()
    }
    this.#accepted.length = 0
  }

  close(): void {}
}
