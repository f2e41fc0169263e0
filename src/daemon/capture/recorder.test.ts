import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PacketSink } from '../../ports.ts'
import { ChecksumState } from '../../ports.ts'
import { CaptureReader } from '../../wire/capture-file/capture-reader.ts'
import { CapturedPacket, Step } from '../../wire/capture-file/captured-packet.ts'
import { RecordCounter, Recorder, type RecordOptions } from './recorder.ts'

/** One turn: the packets captured, the clock, and the number lost so far. */
interface Turn {
  readonly packets: readonly string[]
  readonly now: number
  readonly dropped: number
}

interface Written {
  readonly packets: string[]
  readonly lostCount: number
}

function readFile(bytes: Uint8Array): Written {
  const reader = new CaptureReader()
  reader.append(bytes)
  reader.finish()
  const packet = new CapturedPacket()
  const packets: string[] = []
  while (reader.next(packet) === Step.Packet) {
    packets.push(Buffer.from(packet.bytes.subarray(packet.at, packet.at + packet.capturedLength)).toString())
  }
  assert.equal(reader.failure, '')
  return { packets, lostCount: reader.lostCount }
}

function recordTurns(
  turns: readonly Turn[],
  options: Partial<RecordOptions>
): { files: Written[]; counters: Float64Array } {
  const files: Buffer[] = []
  const counters = new Float64Array(4)
  let turn: Turn = { packets: [], now: 0, dropped: 0 }
  let waiting: string[] = []
  const rest = [...turns]
  const capture = {
    capturedAtMs: 1000,
    receive: (sink: PacketSink, most: number) => {
      const taken = waiting.splice(0, most)
      for (const text of taken) sink(Buffer.from(text), 0, text.length, text.length, ChecksumState.Valid)
      return taken.length
    },
    dropped: () => turn.dropped,
    close: () => {}
  }
  const output = {
    next: () => files.push(Buffer.alloc(0)),
    write: (bytes: Uint8Array, length: number) => {
      files.push(Buffer.concat([files.pop() ?? Buffer.alloc(0), bytes.slice(0, length)]))
    },
    close: () => {}
  }
  const waiter = {
    wait: () => {
      turn = rest.shift() ?? turn
      waiting = [...turn.packets]
    }
  }
  const ports = { capture, files: output, clock: { now: () => turn.now }, waiter }
  const recorder = new Recorder(ports, { fileBytesMax: Infinity, fileMsMax: Infinity, ...options }, counters)
  recorder.run(() => rest.length === 0)
  return { files: files.map(readFile), counters }
}

test('captured packets are written to the file, and losses are recorded', () => {
  const { files, counters } = recordTurns(
    [
      { packets: ['a', 'b'], now: 5, dropped: 0 },
      { packets: [], now: 1100, dropped: 3 },
      { packets: ['c'], now: 1200, dropped: 7 }
    ],
    {}
  )
  assert.deepEqual(files, [{ packets: ['a', 'b', 'c'], lostCount: 7 }])
  assert.deepEqual([...counters], [3, 3, 7, 1])
  assert.equal(counters[RecordCounter.captureDropped], 7)
})

test('files are rotated by time and by size, and each records its own losses', () => {
  const turns = [
    { packets: ['a'], now: 5, dropped: 2 },
    { packets: [], now: 5000, dropped: 2 },
    { packets: [], now: 10_000, dropped: 2 },
    { packets: ['b'], now: 11_000, dropped: 3 }
  ]
  assert.deepEqual(recordTurns(turns, { fileMsMax: 5000 }).files, [
    { packets: ['a'], lostCount: 2 },
    { packets: ['b'], lostCount: 1 },
    { packets: [], lostCount: 0 }
  ])
  const large = 'x'.repeat(1000)
  const many = [{ packets: Array.from({ length: 10 }, () => large), now: 5, dropped: 0 }]
  const { files } = recordTurns(many, { fileBytesMax: 4000 })
  assert.deepEqual(
    files.map(({ packets }) => packets.length),
    [3, 3, 3, 1]
  )
})
