/** The host of the target on byte streams: its connections, and which it refuses. */
import { formatEndpoint } from '../../wire/address.ts'
import type { Conversation } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { TargetWeather, Trouble } from '../scenario/weather.ts'
import { type StreamCaller, StreamConnection } from './stream-connection.ts'
import type { StreamNews } from './stream-target.ts'

/** One connection in so many is refused, whatever the weather: the backlog is full. */
const REFUSED_EVERY = 50

export class StreamHost {
  /** All there ever were, in the order in which they began. */
  readonly connections: StreamConnection[] = []
  /** By client address and port: what was said on the latest connection. */
  readonly #lastOf = new Map<string, Conversation>()
  readonly #weather: TargetWeather
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #startedAt: number

  constructor(weather: TargetWeather, scheduler: Scheduler, random: Random) {
    this.#weather = weather
    this.#scheduler = scheduler
    this.#random = random
    this.#startedAt = scheduler.now()
    // A program that restarts leaves a kernel that resets its connections; of a host that restarts nothing comes.
    for (const { at } of weather.restarts) scheduler.after(at, () => this.#loseAll(true))
    for (const { at } of weather.outages) scheduler.after(at, () => this.#loseAll(false))
  }

  /** When nothing arrives, by the clock of the scheduler. */
  get outages(): readonly Trouble[] {
    return this.#weather.outages.map(({ at, forMs }) => ({ at: at + this.#startedAt, forMs }))
  }

  /** A session connects. @param say brings it what the connection says */
  connect(caller: StreamCaller, say: (news: StreamNews) => void): StreamConnection | undefined {
    const { restarts, refusals } = this.#weather
    if (this.#isIn(restarts) || this.#isIn(refusals) || this.#random.chance(1 / REFUSED_EVERY)) {
      say({ kind: 'refused' })
      return undefined
    }
    const { conversation, clientAddress, clientPort, start } = caller
    const key = formatEndpoint(clientAddress, clientPort)
    const isFirst = this.#lastOf.get(key) !== conversation && start === 0
    this.#lastOf.set(key, conversation)
    const connection = new StreamConnection(caller, isFirst, this.#weather, this.#scheduler, this.#random, say)
    this.connections.push(connection)
    connection.begin()
    return connection
  }

  #loseAll(isTold: boolean): void {
    for (const connection of this.connections) connection.lose(isTold)
  }

  #isIn(troubles: readonly Trouble[]): boolean {
    const at = this.#scheduler.now() - this.#startedAt
    return troubles.some((one) => at >= one.at && at < one.at + one.forMs)
  }
}
