/** Garbage on the packet path: a collector that has little to do is not heard of. */
import assert from 'node:assert/strict'
import { type HeapProfiler, Session } from 'node:inspector'
import { test } from 'node:test'
import { InterceptRig } from '../bench/micro/intercept-rig.ts'
import { Rig } from '../bench/micro/rig.ts'
import { LinkCapture } from '../src/daemon/capture/link-capture.ts'
import { ChecksumState, type PacketSink } from '../src/ports.ts'
import { writePacket } from '../src/sim/network/packet.ts'
import { LinkType } from '../src/wire/link-layer.ts'

const CONNECTIONS = 50
const WARM_UP_TURNS = 10_000
/** Two packets each: a million. */
const REQUESTS = 500_000
const SAMPLE_OCTETS = 1024

/** Runs `work` and samples what it allocates, collected or not. @returns octets by function */
function allocationsOf(work: () => void): Map<string, number> {
  const session = new Session()
  session.connect()
  let profile: HeapProfiler.SamplingHeapProfile | undefined
  // Calls of a session that is connected to its own thread are answered before they return.
  session.post('HeapProfiler.startSampling', {
    samplingInterval: SAMPLE_OCTETS,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true
  })
  work()
  session.post('HeapProfiler.stopSampling', (error, answer) => {
    assert.equal(error, null)
    profile = answer.profile
  })
  session.disconnect()
  const octets = new Map<string, number>()
  const visit = ({ callFrame, selfSize, children }: HeapProfiler.SamplingHeapProfileNode): void => {
    const name = `${callFrame.functionName} ${callFrame.url.replace(/.*\//, '')}:${callFrame.lineNumber + 1}`
    octets.set(name, (octets.get(name) ?? 0) + selfSize)
    for (const child of children) visit(child)
  }
  assert.ok(profile !== undefined, 'the profiler has not answered')
  visit(profile.head)
  return octets
}

/** Holds work to leave little garbage; up to three times, since code that was not compiled yet leaves its own once. */
function assertLittleGarbage(octetsMax: number, packetCount: number, work: () => void): void {
  let found = ''
  for (let attempt = 0; attempt < 3; attempt++) {
    // The rigs' own packets are patched by the rig's functions; what those allocate is no session's.
    const octets = [...allocationsOf(work)].filter(([name]) => !name.includes(' rig.'))
    const total = octets.reduce((sum, [, count]) => sum + count, 0) / packetCount
    if (total <= octetsMax) return
    const most = octets.sort(([, a], [, b]) => b - a).slice(0, 5)
    found = `${total.toFixed(1)} octets a packet: ${JSON.stringify(most)}`
  }
  assert.fail(found)
}

/**
 * An instant that is handed on is boxed here and there, 16 octets each time; so are the two addresses of memcpy(3) for
 * a long payload. An object for each packet would be several times as much.
 */
const LIMITS = [
  { payload: 64, octetsMax: 40 },
  { payload: 1448, octetsMax: 64 }
]

for (const { payload, octetsMax } of LIMITS) {
  test(`a million packets of sessions with requests of ${payload} octets leave next to no garbage`, () => {
    const rig = new Rig(CONNECTIONS, payload, 5)
    for (let turn = 0; turn < WARM_UP_TURNS; turn++) rig.turn()
    assertLittleGarbage(octetsMax, 2 * REQUESTS, () => {
      for (let turn = 0; turn < REQUESTS / CONNECTIONS; turn++) rig.turn()
    })
  })
}

/** A device whose frames never end, each the next of a few. */
function endlessDevice(frames: readonly Uint8Array[]): ConstructorParameters<typeof LinkCapture>[0][number] {
  let next = 0
  const capture = {
    capturedAtMs: 1_000_000.5,
    receive(sink: PacketSink, packetsMax: number): number {
      for (let count = 0; count < packetsMax; count++) {
        const frame = frames[next++ % frames.length]
        if (frame !== undefined) sink(frame, 0, frame.length, frame.length, ChecksumState.Valid)
      }
      return packetsMax
    },
    dropped: () => 0,
    close: () => {}
  }
  return { capture, linkType: LinkType.Ethernet }
}

test('two million frames, bare or below tags and tunnels, leave next to no garbage', () => {
  const fields = {
    fromAddress: 0x0a000001,
    fromPort: 2,
    toAddress: 0x0a000003,
    flags: 0x10,
    seq: 1,
    payload: new Uint8Array(64)
  }
  const [wanted, other] = [80, 81].map((toPort) => writePacket({ ...fields, toPort })) as [Uint8Array, Uint8Array] // as: two
  const frame = (layers: string, packet: Uint8Array): Uint8Array =>
    Buffer.concat([Buffer.from(`020000000077020000000066${layers}`, 'hex'), packet])
  const gre = '08004500001800000000402f0000c0a80001c0a8000200000800'
  const frames = ['0800', '810000050800', gre].flatMap((layers) => [frame(layers, wanted), frame(layers, other)])
  let refused = 0
  const capture = new LinkCapture([endlessDevice(frames), endlessDevice(frames)], {
    protocol: 6,
    isWanted: (address, port) => address === 0x0a000003 && port === 80,
    refuse: () => {
      refused += 1
    }
  })
  let given = 0
  const take = (): void => {
    given += 1
  }
  while (given < 100_000) capture.receive(take, 256)
  // Every other frame is refused.
  assertLittleGarbage(1, 4 * REQUESTS, () => {
    given = 0
    while (given < 2 * REQUESTS) capture.receive(take, 256)
  })
  assert.ok(refused >= given)
})

for (const segments of [1, 14]) {
  test(`a million packets of intercept, answers of ${segments} of them, leave next to no garbage`, () => {
    const rig = new InterceptRig(CONNECTIONS, segments)
    for (let turn = 0; turn < WARM_UP_TURNS; turn++) rig.turn(70)
    const turns = Math.ceil((2 * REQUESTS) / 70)
    // An instant or two are boxed, as above.
    assertLittleGarbage(40, turns * 70, () => {
      for (let turn = 0; turn < turns; turn++) rig.turn(70)
    })
  })
}
