/**
 * The server program behind one connection of the target: it may read late, answers as the source did, or nearly so,
 * and may end the connection before its client does.
 */

import { answerDue, type Conversation, requestLengthOf, serverClosesAt } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { TargetWeather } from '../scenario/weather.ts'

/** How a program ends a connection before its client does. */
export const Quit = { Never: 0, Closes: 1, Resets: 2 } as const
export type Quit = (typeof Quit)[keyof typeof Quit]

export class TargetApplication {
  /** Offset of the first byte that it has not read. */
  readTo: number
  /** Bytes of answer that it has written so far. */
  answerBytes = 0
  /** It has closed its half. */
  hasClosed = false
  /** It has ended the connection before its client. */
  hasQuit: Quit = Quit.Never
  readonly #conversation: Conversation
  readonly #start: number
  readonly #weather: TargetWeather
  readonly #scheduler: Scheduler
  readonly #random: Random
  readonly #read: () => void
  readonly #quit: Quit
  /** Offset at which it ends the connection. */
  readonly #quitAt: number
  #isStalled = false

  /**
   * @param start offset of the connection's first byte
   * @param read makes the connection pass what it has received to `onRead`
   */
  constructor(
    conversation: Conversation,
    start: number,
    weather: TargetWeather,
    scheduler: Scheduler,
    random: Random,
    read: () => void
  ) {
    this.#conversation = conversation
    this.#start = start
    this.readTo = start
    this.#weather = weather
    this.#scheduler = scheduler
    this.#random = random
    this.#read = read
    const closes = random.chance(weather.earlyClose)
    const resets = random.chance(weather.earlyReset)
    this.#quit = resets ? Quit.Resets : closes ? Quit.Closes : Quit.Never
    this.#quitAt = random.between(start, requestLengthOf(conversation))
  }

  /** Something has arrived. The program reads it after a time. */
  wake(): void {
    if (this.#isStalled) return
    if (this.#random.chance(this.#weather.stalling)) {
      this.#isStalled = true
      this.#scheduler.after(this.#random.skewed(1, 3000), () => {
        this.#isStalled = false
        this.#read()
      })
      return
    }
    this.#scheduler.after(this.#random.next() * this.#weather.serviceMs, () => {
      if (!this.#isStalled) this.#read()
    })
  }

  /** @param to offset of the first byte that has not arrived in order; @param hasFin the client's FIN is there */
  onRead(to: number, hasFin: boolean): void {
    this.readTo = to
    if (this.hasQuit !== Quit.Never) return
    if (this.#weather.refusing > 0 && to > this.#start) {
      this.hasQuit = Quit.Closes
      this.hasClosed = true
      return
    }
    this.answerBytes = answerDue(this.#conversation, this.#start, to)
    if (hasFin || to >= serverClosesAt(this.#conversation)) this.hasClosed = true
    else if (this.#quit !== Quit.Never && to >= this.#quitAt) {
      this.hasQuit = this.#quit
      this.hasClosed = true
    }
  }
}
