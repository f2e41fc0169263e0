/** The connections of sessions on byte streams, as the sessions' own host has them, and what is on its way on them. */
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

/** Share of the resets that make the session's host forget what came before them and was not handed on. */
const DISCARDING = 0.5

/** One connection of a session, from its first attempt on. */
class Line {
  readonly slot: number
  readonly opening: Opening
  readonly toTarget: OrderedLink
  readonly fromTarget: OrderedLink
  /** The target's end, once it was accepted there. */
  connection: StreamConnection | undefined
  isRefused = false
  /** A reset is on its way, and what the target said before is lost. */
  isDiscarding = false
  /** Nothing comes from it, nor goes to it: it was reset, or both sides have closed. */
  isOver = false
  wasReset = false
  #hasTargetClosed = false
  /** How far the target has read, and where our half-close ends, as offsets of the session. */
  #readEnd: Seq | undefined
  #end: Seq | undefined

  constructor(opening: Opening, toTarget: OrderedLink, fromTarget: OrderedLink) {
    this.slot = opening.slot
    this.opening = opening
    this.toTarget = toTarget
    this.fromTarget = fromTarget
  }

  /** The session does something. */
  did({ kind, offset }: StreamEvent): void {
    if (kind === 'reset') this.#reset()
    else if (kind === 'half-close') this.#end = add(offset, 1)
  }

  /** The session is told something. */
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
  /** By slot: the connection at hand, or the last. */
  readonly #lines = new Map<number, Line>()
  /** By the client's address and port as the target sees them. */
  readonly #byClient = new Map<string, Line>()
  /** What has come and was not handed on. */
  readonly #arrived: { readonly line: Line; readonly news: StreamNews }[] = []

  /** @param wake something has come */
  constructor(scene: Scene, wake: () => void) {
    const { weather, scheduler, random } = scene
    this.#scene = scene
    this.#wake = wake
    this.host = new StreamHost(weather.target, scheduler, random)
  }

  get hasInput(): boolean {
    return this.#arrived.length > 0
  }

  /** Takes what sessions did. */
  take(events: StreamEvent[]): void {
    for (const event of events.splice(0)) {
      const line = event.kind === 'open' ? this.#open(event) : this.#lines.get(event.slot)
      // The reset of a client says nothing more once both sides have closed.
      const isLate = event.kind === 'reset' ? line?.wasReset : line?.isOver
      assert.ok(line !== undefined && !isLate, `${event.kind} on a connection that is over`)
      this.#scene.diary.event(event.kind, line.opening.identity.clientPort, event)
      line.did(event)
      line.toTarget.send(() => this.#arrive(line, event))
    }
  }

  /** Hands on one thing that has come for a session. @returns false if there is none */
  next(hand: (answer: StreamAnswer) => void): boolean {
    const next = this.#arrived.shift()
    if (next === undefined) return false
    const { line, news } = next
    // A stream that was closed tells its owner nothing more.
    if (line.isOver) return true
    this.#scene.diary.event(`target ${news.kind}`, line.opening.identity.clientPort, news)
    line.heard(news)
    hand({ slot: line.slot, ...news })
    return true
  }

  /** No connection was left open. */
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

  /** What a session did has come to the target. */
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

  /** The target says something. */
  #say(line: Line, news: StreamNews): void {
    if (news.kind === 'reset' && this.#scene.random.chance(DISCARDING)) line.isDiscarding = true
    line.fromTarget.send(() => {
      if (line.isDiscarding && news.kind !== 'accepted' && news.kind !== 'reset') return
      this.#arrived.push({ line, news })
      this.#wake()
    })
  }
}
