/**
 * The target's end of one copied connection on an ordinary byte stream. It answers as the source did, and checks that
 * each byte is the next one of its client.
 */
import assert from 'node:assert/strict'
import { u8 } from '../../wire/bytes.ts'
import { add, distance, type Seq } from '../../wire/seq.ts'
import { type Conversation, clientByte, Ending, readBefore } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { TargetWeather } from '../scenario/weather.ts'
import type { StreamEvent, StreamNews } from './stream-target.ts'
import { Quit, TargetApplication } from './target-application.ts'

/** Most bytes of an answer sent at once. */
const CHUNK_MAX = 16_384

/** Time after which the session's host notices that the target has lost an idle connection. */
const KEEP_ALIVE_MS = 30_000

/** Who connects. */
export interface StreamCaller {
  readonly conversation: Conversation
  readonly clientAddress: number
  readonly clientPort: number
  /** Offset of the first byte in the client's stream. */
  readonly start: number
  /** The session's offset of that byte. */
  readonly first: Seq
}

export class StreamConnection {
  hasClientFin = false
  isClosed = false
  /** The target ended it before the client did: the program quit, or the host restarted. */
  isCutShort = false
  /** A request arrived before the answer that its client had read first. */
  hasOvertaken = false
  /** The client's FIN did. */
  hasEndOvertaken = false
  readonly conversation: Conversation
  readonly clientAddress: number
  readonly clientPort: number
  readonly start: number
  /** Offset of the next byte. */
  end: number
  readonly #first: Seq
  /** Bytes of answers read on earlier connections. */
  readonly #readBefore: number
  readonly #application: TargetApplication
  readonly #bufferBytes: number
  readonly #scheduler: Scheduler
  readonly #say: (news: StreamNews) => void
  /** The host has lost it, and resets it when something arrives. */
  #isForgotten = false
  /** Bytes of answer that were sent. */
  #saidBytes = 0
  #hasSaidClosed = false
  /** Bytes acknowledged to the session, including its half-close. */
  #acknowledged = 0

  /** @param isFirst false: it continues an earlier connection, so only later answers count */
  constructor(
    { conversation, clientAddress, clientPort, start, first }: StreamCaller,
    isFirst: boolean,
    weather: TargetWeather,
    scheduler: Scheduler,
    random: Random,
    say: (news: StreamNews) => void
  ) {
    this.conversation = conversation
    this.clientAddress = clientAddress
    this.clientPort = clientPort
    this.start = start
    this.end = start
    this.#first = first
    this.#readBefore = isFirst ? 0 : readBefore(conversation, start)
    this.#application = new TargetApplication(conversation, start, weather, scheduler, random, () => this.#read())
    this.#bufferBytes = weather.bufferBytes
    this.#scheduler = scheduler
    this.#say = say
  }

  get isEstablished(): boolean {
    return this.end > this.start || this.hasClientFin
  }

  get readTo(): number {
    return this.#application.readTo
  }

  /** Accepts, and greets if the server speaks first. */
  begin(): void {
    this.#say({ kind: 'accepted' })
    this.#application.wake()
  }

  /** The host loses it. @param isTold true: it is reset at once; false: when something arrives */
  lose(isTold: boolean): void {
    if (this.isClosed) return
    this.isCutShort = true
    this.#close()
    if (isTold) this.#reset()
    else {
      this.#isForgotten = true
      this.#scheduler.after(KEEP_ALIVE_MS, () => this.#deny())
    }
  }

  /** Resets the connection if the host has lost it. */
  #deny(): void {
    if (this.#isForgotten) this.#reset()
    this.#isForgotten = false
  }

  /** An event of the session arrives. */
  take(event: StreamEvent): void {
    if (event.kind === 'reset') {
      this.#isForgotten = false
      if (!this.isClosed) this.#close()
      return
    }
    this.#deny()
    if (this.isClosed) return
    assert.ok(!this.hasClientFin, `${event.kind} after the end of what the client says`)
    const at = this.start + distance(event.offset, this.#first)
    assert.equal(at, this.end, `${event.kind} at ${at}, where the stream goes on at ${this.end}`)
    if (event.kind === 'bytes') this.#takeBytes(event.bytes)
    else {
      if (this.conversation.ending === Ending.ClientCloses) this.hasEndOvertaken = this.#isAhead(this.end)
      this.hasClientFin = true
    }
    if (this.isClosed) return
    this.#acknowledge()
    this.#finish()
    this.#application.wake()
  }

  #takeBytes(bytes: Uint8Array): void {
    if (this.#application.hasQuit === Quit.Closes) {
      // Nobody will read these bytes.
      this.#close()
      this.#reset()
      return
    }
    for (let index = 0; index < bytes.length; index++) {
      const offset = this.end + index
      assert.equal(u8(bytes, index), clientByte(this.conversation, offset), `byte ${offset} is not the client's`)
    }
    this.end += bytes.length
    if (this.#isAhead(this.end - 1)) this.hasOvertaken = true
  }

  #isAhead(offset: number): boolean {
    const answered = this.#saidBytes + (this.#hasSaidClosed ? 1 : 0)
    return readBefore(this.conversation, offset) - this.#readBefore > answered
  }

  #read(): void {
    if (this.isClosed) return
    const application = this.#application
    application.onRead(this.end, this.hasClientFin)
    if (application.hasQuit !== Quit.Never) this.isCutShort = true
    if (application.hasQuit === Quit.Resets) {
      this.#close()
      this.#reset()
      return
    }
    this.#acknowledge()
    while (this.#saidBytes < application.answerBytes) {
      const length = Math.min(CHUNK_MAX, application.answerBytes - this.#saidBytes)
      this.#saidBytes += length
      this.#say({ kind: 'bytes', length, isPushed: this.#saidBytes === application.answerBytes })
    }
    if (application.hasClosed && !this.#hasSaidClosed) {
      this.#hasSaidClosed = true
      this.#say({ kind: 'closed' })
    }
    this.#finish()
  }

  /** Reports how far the buffer has accepted bytes. */
  #acknowledge(): void {
    const taken = Math.min(this.end, this.readTo + this.#bufferBytes)
    const count = taken - this.start + (this.hasClientFin && taken === this.end ? 1 : 0)
    if (count <= this.#acknowledged) return
    this.#acknowledged = count
    this.#say({ kind: 'read', upTo: add(this.#first, count) })
  }

  /** Closes once both sides have closed and everything was read. */
  #finish(): void {
    if (this.#hasSaidClosed && this.hasClientFin && this.readTo === this.end) this.#close()
  }

  #reset(): void {
    this.#say({ kind: 'reset' })
  }

  #close(): void {
    this.isClosed = true
    this.#application.readTo = this.end
  }
}
