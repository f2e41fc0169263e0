import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Blocks, type Frame, pcapFile } from '../../../test/capture-file.ts'
import { CaptureReader } from './capture-reader.ts'
import { CapturedPacket, Step } from './captured-packet.ts'

interface Read {
  readonly packets: (Frame & { readonly linkType: number; readonly wireLength: number })[]
  readonly failure: string
  readonly lostCount: number
}

/** Reads a file in chunks of this length. */
function readAll(file: Uint8Array, chunkLength = 7): Read {
  const reader = new CaptureReader()
  const packet = new CapturedPacket()
  const packets: Read['packets'] = []
  let at = 0
  for (let step = reader.next(packet); ; step = reader.next(packet)) {
    if (step === Step.Packet) {
      const { bytes, at: from, capturedLength, timeMs, linkType, wireLength } = packet
      assert.ok(from >= 0 && from + capturedLength <= bytes.length)
      packets.push({ bytes: bytes.slice(from, from + capturedLength), timeMs, linkType, wireLength })
    } else if (step === Step.More) {
      assert.ok(at <= file.length, 'it asks for more after the end')
      if (at === file.length) reader.finish()
      else reader.append(file.subarray(at, at + chunkLength))
      at = Math.min(at + chunkLength, at === file.length ? file.length + 1 : file.length)
    } else {
      assert.equal(step === Step.Failed, reader.failure !== '')
      return { packets, failure: reader.failure, lostCount: reader.lostCount }
    }
  }
}

function text(read: Read): string[] {
  return read.packets.map(({ bytes, timeMs, linkType }) => `${Buffer.from(bytes).toString()} ${timeMs} ${linkType}`)
}

const frames: Frame[] = [
  { bytes: Buffer.from('first'), timeMs: 1_700_000_000_123.25 },
  { bytes: Buffer.from(''), timeMs: 1_700_000_000_123.5 },
  { bytes: Buffer.from('third one'), timeMs: 1_700_000_001_000, wireLength: 1500 }
]

for (const isLittle of [true, false]) {
  for (const isNano of [true, false]) {
    test(`pcap is read: ${isLittle ? 'little' : 'big'} endian, ${isNano ? 'nano' : 'micro'}seconds`, () => {
      const file = pcapFile(frames, { isLittle, isNano, linkType: 101 })
      for (const chunkLength of [1, 3, 1000]) {
        const read = readAll(file, chunkLength)
        assert.deepEqual(
          read.packets.map(({ bytes, timeMs, wireLength }) => [Buffer.from(bytes).toString(), timeMs, wireLength]),
          [
            ['first', 1_700_000_000_123.25, 5],
            ['', 1_700_000_000_123.5, 0],
            ['third one', 1_700_000_001_000, 1500]
          ]
        )
        assert.equal(read.failure, '')
      }
    })
  }

  test(`pcapng is read: ${isLittle ? 'little' : 'big'} endian, several sections, interfaces, block types and times`, () => {
    const blocks = new Blocks(isLittle)
    const other = new Blocks(!isLittle)
    const seconds = Buffer.alloc(8)
    if (isLittle) seconds.writeBigInt64LE(-3600n)
    else seconds.writeBigInt64BE(-3600n)
    const file = Buffer.concat([
      blocks.section(),
      blocks.interface(1, [[2, Buffer.from('eth0')]]),
      blocks.interface(113, [[9, Buffer.from([9])]]),
      blocks.interface(101, [
        [9, Buffer.from([0x80 | 10])],
        [14, seconds]
      ]),
      blocks.enhanced(0, 1_700_000_000_123_250n, Buffer.from('micro'), [[1, Buffer.from('a comment')]]),
      blocks.block(0x0bad, Buffer.alloc(5000)),
      blocks.enhanced(1, 1_700_000_000_124_500_000n, Buffer.from('nano')),
      blocks.enhanced(2, (3600n + 100n) * 1024n + 256n, Buffer.from('binary')),
      blocks.simple(Buffer.from('simple')),
      blocks.old(1, 5_000_000n, Buffer.from('old')),
      blocks.statistics(0, 7),
      blocks.statistics(0, 9),
      other.section(),
      other.interface(276, [], 4),
      other.enhanced(0, 2000n, Buffer.from('next')),
      other.simple(Buffer.from('next cut')),
      other.statistics(0, 2)
    ])
    const read = readAll(file, 11)
    assert.equal(read.failure, '')
    assert.deepEqual(text(read), [
      'micro 1700000000123.25 1',
      'nano 1700000000124.5 113',
      'binary 100250 101',
      'simple 100250 1',
      'old 5 113',
      'next 2 276',
      'next 2 276'
    ])
    assert.equal(read.packets[6]?.wireLength, 8)
    assert.equal(read.lostCount, 11)
  })
}

test('an error in a file is reported with its offset, after everything before it was read', () => {
  const blocks = new Blocks(true)
  const start = [blocks.section(), blocks.interface(1), blocks.enhanced(0, 1n, Buffer.from('good'))]
  const pcap = pcapFile(frames, { isLittle: true, isNano: false, linkType: 1 })
  const tooLarge = Buffer.concat([pcap, Buffer.alloc(8), Buffer.from([1, 0, 0x10, 0]), Buffer.alloc(4)])
  const broken = (last: Uint8Array): Uint8Array => Buffer.concat([...start, last])
  const differing = blocks.enhanced(0, 2n, Buffer.from('x'))
  differing.writeUInt32LE(99, differing.length - 4)
  const cases: [Uint8Array, number, RegExp][] = [
    [Buffer.alloc(0), 0, /^it is empty$/],
    [Buffer.from('ab'), 0, /too short/],
    [Buffer.from('GIF89a'), 0, /not a pcap or pcapng file/],
    [pcap.subarray(0, 20), 0, /truncated/],
    [pcap.subarray(0, pcap.length - 1), 2, /truncated: what begins at byte 61 is incomplete/],
    [tooLarge, 3, /at byte 86: a packet of 1,048,577 bytes/],
    [broken(blocks.enhanced(1, 2n, Buffer.from('x'))), 1, /interface 1, which is not described/],
    [broken(blocks.block(6, Buffer.alloc(8))), 1, /too short/],
    [broken(differing), 1, /two lengths differ/],
    [broken(blocks.block(6, Buffer.alloc(3 << 20))), 1, /a block of 3,145,740 bytes/],
    [broken(blocks.block(0x0bad, Buffer.alloc(40)).subarray(0, 30)), 1, /truncated/]
  ]
  for (const [file, count, failure] of cases) {
    const read = readAll(file, 1000)
    assert.match(read.failure, failure)
    assert.equal(read.packets.length, count, read.failure)
  }
})

const sample = Buffer.concat([
  new Blocks(false).section(),
  new Blocks(false).interface(1, [[9, Buffer.from([9])]]),
  new Blocks(false).enhanced(0, 77n, Buffer.alloc(90), [[1, Buffer.from('words')]]),
  new Blocks(false).simple(Buffer.alloc(31)),
  new Blocks(false).old(0, 5n, Buffer.alloc(8)),
  new Blocks(false).statistics(0, 3)
])
const samples = [sample, pcapFile(frames, { isLittle: true, isNano: true, linkType: 1 })]
const mutations = fc.array(fc.tuple(fc.nat(400), fc.oneof(fc.nat(255), fc.constantFrom(0, 0xff, 0x80))), {
  maxLength: 12
})

test('a mutated file never makes the reader throw, read outside the file or run forever', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...samples),
      mutations,
      fc.nat(400),
      fc.integer({ min: 1, max: 64 }),
      (file, changes, cut, chunk) => {
        const mutated = Uint8Array.from(file)
        for (const [at, value] of changes) mutated[at % mutated.length] = value
        const kept = mutated.subarray(0, cut < 300 ? mutated.length : cut % mutated.length)
        const read = readAll(kept, chunk)
        assert.ok(read.packets.reduce((sum, { bytes }) => sum + bytes.length, 0) <= kept.length)
      }
    ),
    { numRuns: 5000 }
  )
})

test('the window does not grow with the file', () => {
  const reader = new CaptureReader()
  const packet = new CapturedPacket()
  reader.append(pcapFile([], { isLittle: true, isNano: false, linkType: 1 }))
  const record = pcapFile([{ bytes: Buffer.alloc(1400), timeMs: 1 }], {
    isLittle: true,
    isNano: false,
    linkType: 1
  }).subarray(24)
  const chunk = Buffer.concat(Array.from({ length: 50 }, () => record)).subarray(0, 65_536)
  let most = 0
  for (let count = 0; count < 20; count++) {
    // A truncated record takes the start of the next chunk as its rest; where it ends does not matter.
    while (reader.next(packet) === Step.Packet) most = Math.max(most, packet.bytes.length)
    reader.append(chunk)
  }
  assert.ok(most > 0 && most < 200_000, `${most}`)
})
