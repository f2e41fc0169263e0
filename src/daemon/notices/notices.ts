/** Events for the operator: the parts of a loop add them, and the owner of the loop drains them into the log once a turn. */
import type { Log, LogFields, LogLevel } from '../../ports.ts'

/** More than one turn can produce: intercept accepts and closes at most 1024 connections in it. */
const NOTICES_MAX = 4096
/** Most lines of one message in a minute: a port scanner must not fill the disk. */
export const SAME_MAX = 60
const SAME_MS = 60_000

interface Notice {
  readonly level: LogLevel
  readonly message: string
  readonly fields: LogFields | undefined
}

/** How often a message was logged in the current minute. */
interface Said {
  readonly level: LogLevel
  readonly since: number
  count: number
  leftOut: number
}

export class Notices {
  readonly #waiting: Notice[] = []
  #leftOutCount = 0
  /** By message. Messages are constants, so there are few. */
  readonly #said = new Map<string, Said>()
  #leftOutSince = Number.POSITIVE_INFINITY

  /** @param message constant; what varies is in `fields`, with units */
  add(level: LogLevel, message: string, fields?: LogFields): void {
    if (this.#waiting.length < NOTICES_MAX) this.#waiting.push({ level, message, fields })
    else this.#leftOutCount += 1
  }

  /**
   * Hands all events to the log, oldest first, and then says how many were left out since the last call. Of one message,
   * 60 are logged in a minute; at its end, their number follows.
   */
  drain(log: Log, now: number): void {
    if (now - this.#leftOutSince >= SAME_MS) this.#sayLeftOut(log, now)
    if (this.#waiting.length === 0) return
    for (const notice of this.#waiting) this.#say(notice, log, now)
    this.#waiting.length = 0
    if (this.#leftOutCount > 0)
      log('warn', 'too many log messages at once: some were left out', { count: this.#leftOutCount })
    this.#leftOutCount = 0
  }

  #say({ level, message, fields }: Notice, log: Log, now: number): void {
    let said = this.#said.get(message)
    if (said === undefined || (now - said.since >= SAME_MS && said.leftOut === 0)) {
      said = { level, since: now, count: 0, leftOut: 0 }
      this.#said.set(message, said)
    }
    said.count += 1
    if (said.count <= SAME_MAX) {
      log(level, message, fields)
      return
    }
    said.leftOut += 1
    this.#leftOutSince = Math.min(this.#leftOutSince, said.since)
  }

  #sayLeftOut(log: Log, now: number): void {
    this.#leftOutSince = Number.POSITIVE_INFINITY
    for (const [message, { level, since, leftOut }] of this.#said) {
      if (leftOut === 0) continue
      if (now - since < SAME_MS) this.#leftOutSince = Math.min(this.#leftOutSince, since)
      else {
        log(level, 'a message was left out because it came too often', { of: message, count: leftOut })
        this.#said.delete(message)
      }
    }
  }
}
