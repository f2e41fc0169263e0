/** The assistant's host: its capture, and intercept on it, which is stopped, killed and started again. */
import { InterceptCounters } from '../core/intercept-counters.ts'
import { Interceptor } from '../daemon/interceptor.ts'
import type { ChannelOptions } from '../daemon/negotiation.ts'
import type { MemoryNetwork } from './memory-network.ts'
import { countingCryptography, MemoryCapture, NotingWaiter, Runner } from './memory-ports.ts'
import type { Scheduler } from './scheduler.ts'
import { channelOptions, type Weather } from './weather.ts'

const OPTIONS = { delayMax: 1024, recordsMax: 16, keepsFirst: false }

export class InterceptHost {
  readonly #scheduler: Scheduler
  readonly #network: MemoryNetwork
  readonly #channel: ChannelOptions
  readonly #capture = new MemoryCapture()
  readonly #waiter = new NotingWaiter()
  readonly #runner: Runner
  #interceptor: Interceptor

  constructor({ intercept: weather, channel }: Weather, scheduler: Scheduler, network: MemoryNetwork) {
    this.#channel = channelOptions(channel).intercept
    this.#scheduler = scheduler
    this.#network = network
    this.#interceptor = this.#start()
    const hasInput = (): boolean => this.#capture.waiting.length > 0 || network.hasInputForServer
    this.#runner = new Runner(scheduler, this.#waiter, () => this.#interceptor.turn(), hasInput)
    for (const { at, forMs } of weather.pauses) scheduler.after(at, () => this.#runner.pause(forMs))
    for (const { at, forMs } of weather.restarts) scheduler.after(at, () => this.#restart(forMs))
    for (const { at } of weather.cuts) scheduler.after(at, () => network.cut())
  }

  poke(): void {
    this.#runner.poke()
  }

  /** A packet of the target has come. */
  onPacket(packet: Uint8Array): void {
    if (!this.#network.isListening) return
    this.#capture.waiting.push(packet)
    this.#runner.poke()
  }

  #start(): Interceptor {
    const ports = {
      captures: [this.#capture],
      listener: this.#network,
      cryptography: countingCryptography(),
      clock: this.#scheduler,
      waiter: this.#waiter,
      log: () => {}
    }
    return new Interceptor(ports, { ...OPTIONS, channel: this.#channel }, new InterceptCounters())
  }

  /** What it had captured and knew is gone. */
  #restart(forMs: number): void {
    this.#network.isListening = false
    this.#network.cut()
    this.#capture.waiting.length = 0
    this.#runner.pause(forMs)
    this.#scheduler.after(forMs, () => {
      this.#interceptor = this.#start()
      this.#network.isListening = true
      this.#runner.poke()
    })
  }
}
