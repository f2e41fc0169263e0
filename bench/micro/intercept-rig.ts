/** intercept without a kernel: a tcpcopy that has announced its routes, and a target that never stops answering. */
import { InterceptCounter, InterceptCounters } from '../../src/core/books/intercept-counters.ts'
import { CHANNEL_DEFAULT } from '../../src/daemon/channel/negotiation.ts'
import { Interceptor } from '../../src/daemon/interceptor/interceptor.ts'
import { Notices } from '../../src/daemon/notices/notices.ts'
import { type Capture, ChecksumState, type PacketSink, type Stream } from '../../src/ports.ts'
import { countingCryptography } from '../../src/sim/network/memory-ports.ts'
import { encodeOptions, writePacket } from '../../src/sim/network/packet.ts'
import {
  flowRecordLength,
  INSTANCE_LENGTH,
  INTRODUCTION_LENGTH,
  putFlowRecord,
  putRecordHead,
  RecordType
} from '../../src/wire/channel/channel-v2.ts'
import { Flow } from '../../src/wire/flow.ts'
import { ACK, PSH } from '../../src/wire/segment.ts'

const CLIENT = 0x0a000001
const TARGET = 0x0a000002
const PORT = 80
const SEGMENT_LENGTH = 1448
/** Captured bytes of a packet and distance of slots, as in intercept's ring. */
const SNAP_LENGTH = 160
const STRIDE = 256
/** Version 1's hello with the offer of version 2, and its switch. */
const OFFER = '0000000000000006544356320200'
const SWITCH = '0000000000000007000000000000'

/** A tcpcopy that sends its input once, and accepts all output. */
class EagerStream implements Stream {
  readonly peer = 'peer'
  readonly failure = ''
  readonly open = true
  readonly input: Uint8Array
  inputLength: number
  #unreadLength: number

  constructor(words: Uint8Array) {
    this.input = words
    this.inputLength = words.length
    this.#unreadLength = words.length
  }

  read(): number {
    const length = this.#unreadLength
    this.#unreadLength = 0
    return length
  }
  write(_bytes: Uint8Array, _at: number, length: number): number {
    return length
  }
  awaitWritable(): void {}
  close(): void {}
}

/** The introduction of a tcpcopy, and the routes of its clients. */
function announcement(connections: number): Uint8Array {
  const introduction = new Uint8Array(INTRODUCTION_LENGTH).fill(7, INTRODUCTION_LENGTH - INSTANCE_LENGTH)
  putRecordHead(introduction, 0, RecordType.Introduction, INTRODUCTION_LENGTH, 0)
  const routes = Array.from({ length: connections }, (_, index) => {
    const route = new Uint8Array(flowRecordLength(TARGET))
    putFlowRecord(route, 0, RecordType.Route, new Flow().set(CLIENT, 1024 + index, TARGET, PORT))
    return route
  })
  return new Uint8Array(Buffer.concat([Buffer.from(OFFER + SWITCH, 'hex'), introduction, ...routes]))
}

/** The headers of one answer for each connection: full segments, the last one with PSH. */
function answers(connections: number, segments: number): Uint8Array {
  const slots = new Uint8Array(connections * segments * STRIDE)
  const toClient = { fromAddress: TARGET, fromPort: PORT, toAddress: CLIENT, ack: 100 }
  const rest = { options: encodeOptions(['nop', 'nop', 'ts 1 1']), payload: new Uint8Array(SEGMENT_LENGTH) }
  for (let packet = 0; packet < connections * segments; packet++) {
    const index = packet % segments
    const flags = index === segments - 1 ? ACK | PSH : ACK
    const seq = 500 + index * SEGMENT_LENGTH
    const whole = writePacket({ ...toClient, ...rest, toPort: 1024 + Math.floor(packet / segments), flags, seq })
    slots.set(whole.subarray(0, SNAP_LENGTH), packet * STRIDE)
  }
  return slots
}

export class InterceptRig {
  readonly counters = new InterceptCounters()
  readonly #interceptor: Interceptor
  #left = 0

  /** @param segments number of full segments in each answer */
  constructor(connections: number, segments: number) {
    const slots = answers(connections, segments)
    const wireLength = 52 + SEGMENT_LENGTH
    let at = 0
    const capture: Capture = {
      receive: (sink: PacketSink, packetsMax: number): number => {
        const packets = Math.min(packetsMax, this.#left)
        for (let count = 0; count < packets; count++) {
          sink(slots, at, SNAP_LENGTH, wireLength, ChecksumState.Valid)
          at += STRIDE
          if (at === slots.length) at = 0
        }
        this.#left -= packets
        return packets
      },
      dropped: () => 0,
      capturedAtMs: 1_000_000.25,
      close: () => {}
    }
    const waiting = [new EagerStream(announcement(connections))]
    let now = 1000
    this.#interceptor = new Interceptor(
      {
        captures: [capture],
        listener: { accept: () => waiting.shift(), close: () => {} },
        cryptography: countingCryptography(),
        clock: {
          now: () => {
            now += 0.001
            return now
          },
          epoch: () => 999_000
        },
        waiter: { wait: () => {}, pause: () => {} },
        notices: new Notices(),
        log: () => {}
      },
      { delayMax: 16, recordsMax: 16, channel: CHANNEL_DEFAULT, keepsFirst: false },
      this.counters
    )
    this.#interceptor.turn()
    if (this.counters.get(InterceptCounter.routes) !== connections) throw new Error('the routes were not taken')
  }

  /** One turn of intercept with this many packets, at most a batch. */
  turn(packets: number): void {
    this.#left = packets
    this.#interceptor.turn()
  }
}
