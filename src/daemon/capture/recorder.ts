/** The recorder writes captured packets unchanged to files, together with how many packets the capture lost. */
import type { OwnAddresses } from '../../core/selection/own-addresses.ts'
import type { Clock, TimedCapture, Waiter } from '../../ports.ts'
import { float64At } from '../../wire/bytes.ts'
import { PcapngWriter } from '../../wire/capture-file/pcapng-writer.ts'
import { LinkType } from '../../wire/link-layer.ts'

const BATCH = 256
/** Batches taken in a turn: more than a ring of the default size holds. */
const BATCHES_MAX = 256
const BUFFER_LENGTH = 1 << 20
/** Bytes that are written at once; fewer are written after a second. */
const WRITE_LENGTH = 1 << 18
const WRITE_MS = 1000

/**
 * Slots of the counters. Whoever opens the capture counts `leftOut` and `unreadable`. The names are in the JSON log.
 */
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
  /** Largest file, in bytes; Infinity: no limit. */
  readonly fileBytesMax: number
  /** Longest time of a file; Infinity: no limit. */
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
  #droppedWritten = 0
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

  /** Runs until `shouldStop` returns true, and completes the file. @param own the addresses of this host, if they matter */
  run(shouldStop: () => boolean, own?: OwnAddresses): void {
    const { clock, waiter, files } = this.#ports
    while (!shouldStop()) {
      waiter.wait(Math.max(0, this.#writeAt - clock.now()))
      this.#now = clock.now()
      this.#drain()
      own?.refresh(this.#now)
      if (this.#now >= this.#writeAt) this.#write()
      if (this.#now - this.#fileBeganAt >= this.#options.fileMsMax && this.#filePackets > 0) this.#rotate()
    }
    this.#drain()
    this.#write()
    files.close()
  }

  /** Takes all waiting packets, up to a limit. */
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
    this.#droppedBefore += this.#droppedWritten
    this.#droppedWritten = 0
    this.#count(RecordCounter.files, 1)
    this.#flush()
  }

  #rotate(): void {
    this.#write()
    this.#begin()
  }

  /** Writes everything that is in memory, and the number of lost packets if it changed. */
  #write(): void {
    this.#writeAt = this.#now + WRITE_MS
    const dropped = this.#ports.capture.dropped()
    this.#counters[RecordCounter.captureDropped] = dropped
    if (dropped - this.#droppedBefore !== this.#droppedWritten) {
      this.#droppedWritten = dropped - this.#droppedBefore
      this.#writer.statistics(this.#filePackets, this.#droppedWritten, this.#lastPacketMs)
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
