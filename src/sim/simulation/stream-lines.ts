/** The connections of sessions on byte streams: their end at the sessions' host, and what is in flight on them. */
import assert from 'node:assert/strict'
import { formatEndpoint } from '../../wire/address.ts'
import { add, type Seq } from '../../wire/seq.ts'
import { OrderedLink } from '../network/ordered-link.ts'
import { offsetOf } from '../scenario/conversation.ts'
import type { StreamConnection } from '../target/stream-connection.ts'
import { StreamHost } from '../target/stream-host.ts'
import type { StreamAnswer, StreamEvent, StreamNews } from '../target/stream-target.ts'
import type { Scene } from './copying.ts'

type Opening = Extract<StreamEvent, { kind: 'open' }>

/** Share of the resets that discard what the session's host had received and not yet delivered. */
const DISCARDING = 0.5

/** One connection of a session, from its first attempt on. */
class Line {
  readonly slot: number
  readonly opening: Opening
  readonly toTarget: OrderedLink
  readonly fromTarget: OrderedLink
  /** The target's end, once the target has accepted. */
  connection: StreamConnection | undefined
  isRefused = false
  /** A reset is in flight, and discards what the target said before. */
  isDiscarding = false
  /** It was reset, or both sides have closed: nothing is sent or received any more. */
  isOver = false
  wasReset = false
  #hasTargetClosed = false
  /** How far the target has read, and the end of our half-close, as offsets of the session. */
  #readEnd: Seq | undefined
  #end: Seq | undefined

  constructor(opening: Opening, toTarget: OrderedLink, fromTarget: OrderedLink) {
    this.slot = opening.slot
    this.opening = opening
    this.toTarget = toTarget
    this.fromTarget = fromTarget
  }

  /** Takes an event of the session. */
  did({ kind, offset }: StreamEvent): void {
    if (kind === 'reset') this.#reset()
    else if (kind === 'half-close') this.#end = add(offset, 1)
  }

  /** Delivers news to the session. */
  heard(news: StreamNews): void {
    if (news.kind === 'refused') this.isRefused = true
    else if (news.kind === 'closed') this.#hasTargetClosed = true
    else if (news.kind === 'read') this.#readEnd = news.upTo
    const isEnded = this.#hasTargetClosed && this.#end !== undefined && this.#readEnd === this.#end
    if (isEnded) this.isOver = true
    if (news.kind === 'reset') this.#reset()
  }

  #reset(): void {
    this.isOver = true
    this.wasReset = true
  }
}

export class StreamLines {
  readonly host: StreamHost
  readonly #scene: Scene
  readonly #wake: () => void
  /** The current or latest connection of each slot. */
  readonly #lines = new Map<number, Line>()
  /** Connections by the client's address and port as the target sees them. */
  readonly #byClient = new Map<string, Line>()
  /** Received from the target, not yet delivered. */
  readonly #arrived: { readonly line: Line; readonly news: StreamNews }[] = []

  /** @param wake called when something was received */
  constructor(scene: Scene, wake: () => void) {
    const { weather, scheduler, random } = scene
    this.#scene = scene
    this.#wake = wake
    this.host = new StreamHost(weather.target, scheduler, random)
  }

  get hasInput(): boolean {
    return this.#arrived.length > 0
  }

  /** Takes the events of sessions. */
  take(events: StreamEvent[]): void {
    for (const event of events.splice(0)) {
      const line = event.kind === 'open' ? this.#open(event) : this.#lines.get(event.slot)
      // A client's reset means nothing once both sides have closed.
      const isLate = event.kind === 'reset' ? line?.wasReset : line?.isOver
      assert.ok(line !== undefined && !isLate, `${event.kind} on a connection that is over`)
      this.#scene.diary.event(event.kind, line.opening.identity.clientPort, event)
      line.did(event)
      line.toTarget.send(() => this.#arrive(line, event))
    }
  }

  /** Delivers one answer to its session. @returns false if there is none */
  next(hand: (answer: StreamAnswer) => void): boolean {
    const next = this.#arrived.shift()
    if (next === undefined) return false
    const { line, news } = next
    // The owner of a closed stream is told nothing more.
    if (line.isOver) return true
    this.#scene.diary.event(`target ${news.kind}`, line.opening.identity.clientPort, news)
    line.heard(news)
    hand({ slot: line.slot, ...news })
    return true
  }

  /** Checks that no connection was left open. */
  checkOver(): void {
    for (const { isOver, opening } of this.#byClient.values()) {
      assert.ok(isOver, `the connection of ${opening.identity.clientPort} was left open`)
    }
  }

  #open(opening: Opening): Line {
    const { clientAddress, clientPort } = opening.identity
    const known = this.#lines.get(opening.slot)
    if (known !== undefined && !known.isOver) {
      assert.ok(known.isRefused, 'a connection is opened twice')
      known.isRefused = false
      return known
    }
    const key = formatEndpoint(clientAddress, clientPort)
    assert.ok(this.#byClient.get(key)?.isOver !== false, `${key} is connected already`)
    const { scheduler, random, weather } = this.#scene
    const toTarget = new OrderedLink(scheduler, random, weather.toTarget, this.host.outages)
    const line = new Line(opening, toTarget, new OrderedLink(scheduler, random, weather.toAssistant))
    this.#lines.set(opening.slot, line)
    this.#byClient.set(key, line)
    return line
  }

  /** An event of a session arrives at the target. */
  #arrive(line: Line, event: StreamEvent): void {
    if (event.kind !== 'open') {
      assert.ok(line.connection !== undefined || event.kind === 'reset', `${event.kind} before it was accepted`)
      line.connection?.take(event)
      return
    }
    const { base, offset, identity } = event
    const sequence = add(base, offset)
    const conversation = this.#scene.conversationAt(sequence)
    assert.ok(conversation !== undefined, `no client sent byte ${sequence}`)
    const { clientAddress, clientPort } = identity
    const start = offsetOf(conversation, sequence)
    const caller = { conversation, clientAddress, clientPort, start, first: offset }
    line.connection = this.host.connect(caller, (news) => this.#say(line, news))
  }

  /** Sends the target's news to the session's host. */
  #say(line: Line, news: StreamNews): void {
    if (news.kind === 'reset' && this.#scene.random.chance(DISCARDING)) line.isDiscarding = true
    line.fromTarget.send(() => {
      if (line.isDiscarding && news.kind !== 'accepted' && news.kind !== 'reset') return
      this.#arrived.push({ line, news })
      this.#wake()
    })
  }
}
