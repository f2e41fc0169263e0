/** The target's host on byte streams: its connections, and which ones it refuses. */
import { formatEndpoint } from '../../wire/address.ts'
import type { Conversation } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { TargetWeather, Trouble } from '../scenario/weather.ts'
import { type StreamCaller, StreamConnection } from './stream-connection.ts'
import type { StreamNews } from './stream-target.ts'

/** One in this many connections is refused in any weather, as by a full backlog. */
const REFUSED_EVERY = 50

export class StreamHost {
  /** All connections, in the order in which they began. */
  readonly connections: StreamConnection[] = []
  /** The latest connection of each client address and port. */
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
    // When a program restarts, its kernel resets the connections. When a host restarts, nothing is sent.
    for (const { at } of weather.restarts) scheduler.after(at, () => this.#loseAll(true))
    for (const { at } of weather.outages) scheduler.after(at, () => this.#loseAll(false))
  }

  /** Times at which nothing arrives, by the scheduler's clock. */
  get outages(): readonly Trouble[] {
    return this.#weather.outages.map(({ at, forMs }) => ({ at: at + this.#startedAt, forMs }))
  }

  /** A session connects. @param say takes what the connection says to the session */
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
