/** The simulated assistant: its capture, and an intercept that is paused, killed and started again. */
import { InterceptCounters } from '../../core/books/intercept-counters.ts'
import { workerOf } from '../../core/selection/worker-share.ts'
import type { ChannelOptions } from '../../daemon/channel/negotiation.ts'
import { Interceptor } from '../../daemon/interceptor/interceptor.ts'
import { Notices } from '../../daemon/notices/notices.ts'
import { u16 } from '../../wire/bytes.ts'
import { IPV4_HEADER } from '../../wire/segment.ts'
import { MemoryExchange } from '../network/memory-exchange.ts'
import type { MemoryNetwork } from '../network/memory-network.ts'
import { countingCryptography, MemoryCapture, NotingWaiter, Runner } from '../network/memory-ports.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import { channelOptions, type Weather } from '../scenario/weather.ts'

const OPTIONS = { delayMax: 1024, recordsMax: 16, keepsFirst: false }

export class InterceptHost {
  readonly #scheduler: Scheduler
  readonly #network: MemoryNetwork
  readonly #channel: ChannelOptions
  /** By worker. */
  readonly #captures: readonly MemoryCapture[]
  readonly #waiter = new NotingWaiter()
  readonly #runner: Runner
  /** By worker. They run one after the other. */
  #interceptors: readonly Interceptor[]

  constructor({ intercept: weather, channel }: Weather, scheduler: Scheduler, network: MemoryNetwork) {
    this.#channel = channelOptions(channel).intercept
    this.#scheduler = scheduler
    this.#network = network
    this.#captures = Array.from({ length: weather.workers }, () => new MemoryCapture())
    this.#interceptors = this.#start()
    const hasInput = (): boolean =>
      this.#captures.some((capture) => capture.waiting.length > 0) || network.hasInputForServer
    const turn = (): void => {
      for (const interceptor of this.#interceptors) interceptor.turn()
    }
    this.#runner = new Runner(scheduler, this.#waiter, turn, hasInput)
    for (const { at, forMs } of weather.pauses) scheduler.after(at, () => this.#runner.pause(forMs))
    for (const { at, forMs } of weather.restarts) scheduler.after(at, () => this.#restart(forMs))
    for (const { at } of weather.cuts) scheduler.after(at, () => network.cut())
  }

  poke(): void {
    this.#runner.poke()
  }

  /** Takes a packet of the target. */
  onPacket(packet: Uint8Array): void {
    if (!this.#network.isListening) return
    this.#captures[this.#workerFor(u16(packet, IPV4_HEADER + 2))]?.waiting.push(packet)
    this.#runner.poke()
  }

  /** The worker of the client's port; for some clients another one, as with address translation. */
  #workerFor(port: number): number {
    const { length } = this.#captures
    return (workerOf(port, length) + (port % 5 === 0 ? 1 : 0)) % length
  }

  #start(): readonly Interceptor[] {
    const cryptography = countingCryptography()
    const messages = this.#captures.map(() => [])
    return this.#captures.map((capture, worker) => {
      const ports = {
        captures: [capture],
        listener: this.#network,
        cryptography,
        clock: this.#scheduler,
        waiter: this.#waiter,
        notices: new Notices(),
        log: () => {},
        exchange: messages.length === 1 ? undefined : new MemoryExchange(worker, messages, () => this.#runner.poke())
      }
      return new Interceptor(ports, { ...OPTIONS, channel: this.#channel }, new InterceptCounters())
    })
  }

  /** Kills intercept, with everything that it had captured and knew, and starts it again after a time. */
  #restart(forMs: number): void {
    this.#network.isListening = false
    this.#network.cut()
    for (const capture of this.#captures) capture.waiting.length = 0
    this.#runner.pause(forMs)
    this.#scheduler.after(forMs, () => {
      this.#interceptors = this.#start()
      this.#network.isListening = true
      this.#runner.poke()
    })
  }
}
