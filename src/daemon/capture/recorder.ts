/** Recording: what the capture sees goes into files, as it came, and what the capture lost is noted in them. */
import type { Clock, TimedCapture, Waiter } from '../../ports.ts'
import { float64At } from '../../wire/bytes.ts'
import { PcapngWriter } from '../../wire/capture-file/pcapng-writer.ts'
import { LinkType } from '../../wire/link-layer.ts'

const BATCH = 256
/** In a turn: more than a ring of the usual size holds. */
const BATCHES_MAX = 256
const BUFFER_LENGTH = 1 << 20
/** So much is written at once, or what there is after a second. */
const WRITE_LENGTH = 1 << 18
const WRITE_MS = 1000

/** Slots of the counters; of `leftOut` and `unreadable` whoever makes the capture tells. */
export const RecordCounter = { packets: 0, octets: 1, captureDropped: 2, files: 3, leftOut: 4, unreadable: 5 } as const

export function countRecord(counters: Float64Array, counter: number, amount: number): void {
  counters[counter] = float64At(counters, counter) + amount
}

export interface RecordPorts {
  readonly capture: TimedCapture
  readonly files: { next(): void; write(bytes: Uint8Array, length: number): void; close(): void }
  readonly clock: Clock
  readonly waiter: Waiter
}

export interface RecordOptions {
  /** A file is not made larger; Infinity: no limit. */
  readonly fileBytesMax: number
  /** The next file begins after so long; Infinity: never. */
  readonly fileMsMax: number
}

export class Recorder {
  readonly #ports: RecordPorts
  readonly #options: RecordOptions
  readonly #counters: Float64Array
  readonly #writer = new PcapngWriter(BUFFER_LENGTH)
  #now: number
  #fileBeganAt = 0
  #fileBytes = 0
  #filePackets = 0
  #droppedBefore = 0
  #droppedNoted = 0
  #writeAt = 0
  #lastPacketMs = 0
  readonly #take = this.#onPacket.bind(this)

  /** @param counters by RecordCounter; another thread may read them @throws OperatorError of the files */
  constructor(ports: RecordPorts, options: RecordOptions, counters: Float64Array) {
    this.#ports = ports
    this.#options = options
    this.#counters = counters
    this.#now = ports.clock.now()
    this.#begin()
  }

  /** Runs until `shouldStop` says so; the file is whole then. */
  run(shouldStop: () => boolean): void {
    const { clock, waiter, files } = this.#ports
    while (!shouldStop()) {
      waiter.wait(Math.max(0, this.#writeAt - clock.now()))
      this.#now = clock.now()
      this.#drain()
      if (this.#now >= this.#writeAt) this.#write()
      if (this.#now - this.#fileBeganAt >= this.#options.fileMsMax && this.#filePackets > 0) this.#rotate()
    }
    this.#drain()
    this.#write()
    files.close()
  }

  /** Takes what waits in the capture, but not what comes for ever. */
  #drain(): void {
    const { capture } = this.#ports
    for (let count = 0; count < BATCHES_MAX && capture.receive(this.#take, BATCH) === BATCH; count++) {}
  }

  #onPacket(bytes: Uint8Array, at: number, capturedLength: number, wireLength: number): void {
    const fileBytes = this.#fileBytes + this.#writer.lengthWith(capturedLength)
    if (this.#filePackets > 0 && fileBytes > this.#options.fileBytesMax) this.#rotate()
    if (!this.#writer.fits(capturedLength)) this.#flush()
    this.#lastPacketMs = this.#ports.capture.capturedAtMs
    this.#writer.packet(bytes, at, capturedLength, wireLength, this.#lastPacketMs)
    this.#filePackets += 1
    this.#count(RecordCounter.packets, 1)
    this.#count(RecordCounter.octets, capturedLength)
    if (this.#writer.length >= WRITE_LENGTH) this.#flush()
  }

  #begin(): void {
    this.#ports.files.next()
    this.#writer.begin(LinkType.Raw)
    this.#fileBeganAt = this.#now
    this.#fileBytes = 0
    this.#filePackets = 0
    this.#droppedBefore += this.#droppedNoted
    this.#droppedNoted = 0
    this.#count(RecordCounter.files, 1)
    this.#flush()
  }

  #rotate(): void {
    this.#write()
    this.#begin()
  }

  /** Notes what was lost, and leaves nothing in memory. */
  #write(): void {
    this.#writeAt = this.#now + WRITE_MS
    const dropped = this.#ports.capture.dropped()
    this.#counters[RecordCounter.captureDropped] = dropped
    if (dropped - this.#droppedBefore !== this.#droppedNoted) {
      this.#droppedNoted = dropped - this.#droppedBefore
      this.#writer.statistics(this.#filePackets, this.#droppedNoted, this.#lastPacketMs)
    }
    this.#flush()
  }

  #flush(): void {
    this.#ports.files.write(this.#writer.bytes, this.#writer.length)
    this.#fileBytes += this.#writer.length
    this.#writer.length = 0
  }

  #count(counter: number, amount: number): void {
    countRecord(this.#counters, counter, amount)
  }
}
