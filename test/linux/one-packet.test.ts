/** One redis SET, looked at with tcpdump on every host: what is copied as it was, and what is not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPacketDump } from '../../lab/hosts/packet-dump.ts'
import {
  ASSISTANT,
  CLIENT,
  type CopyLab,
  finishAndReadBooks,
  openCopyLab,
  SOURCE,
  TARGET,
  untilSame
} from './support/copy-lab.ts'
import { type Packet, readPackets } from './support/packet-file.ts'

interface Captures {
  readonly client: Packet[]
  readonly source: Packet[]
  readonly target: Packet[]
  readonly assistant: Packet[]
}

/** Runs one SET through the copy, with tcpdump on every host. */
async function captureSet(lab: CopyLab): Promise<Captures> {
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  const dumpOn = (name: keyof Captures) =>
    startPacketDump(lab.hosts[name], 'tcp port 6379', `${lab.folder}/${name}.pcap`)
  const dumps = {
    client: await dumpOn('client'),
    source: await dumpOn('source'),
    target: await dumpOn('target'),
    assistant: await dumpOn('assistant')
  }
  assert.equal(await lab.ask('SET', 'date', 'today'), 'OK')
  await untilSame(redis.source, redis.target)
  assert.equal(await lab.askTarget('GET', 'date'), 'today')
  await Promise.all(Object.values(dumps).map((dump) => dump.stop()))
  const books = await finishAndReadBooks(tcpcopy)
  assert.equal(books.droppedBytes, 0)
  return {
    client: readPackets(dumps.client.path),
    source: readPackets(dumps.source.path),
    target: readPackets(dumps.target.path),
    assistant: readPackets(dumps.assistant.path)
  }
}

/** The only packet that satisfies the condition, as it was sent first: who hears of no answer in time sends it again. */
function only(packets: readonly Packet[], what: string, accepts: (packet: Packet) => boolean): Packet {
  const [packet, ...others] = packets.filter(accepts)
  assert.ok(packet !== undefined, `no packet is ${what}`)
  for (const { seq } of others) assert.equal(seq, packet.seq, `more than one packet is ${what}`)
  return packet
}

const isSet = (packet: Packet): boolean => packet.payload.includes('SET') && packet.payload.includes('today')
const isSyn = (packet: Packet): boolean => packet.flags === 'S'

for (const offloads of [false, true]) {
  test(`copied SYN and SET are the client's own but for what is the target's, offloads ${offloads ? 'on' : 'off'}`, async () => {
    await using lab = await openCopyLab({ offloads })
    const seen = await captureSet(lab)
    // tcpcopy sends through the same device: the source's capture has the copies as well.
    const originals = seen.source.filter(({ to }) => to === SOURCE)
    const copies = seen.target.filter(({ to }) => to === TARGET)
    const synAck = only(seen.assistant, 'the SYN-ACK of the target', ({ flags }) => flags === 'S.')
    holdSyn(only(copies, 'the copied SYN', isSyn), only(originals, 'the SYN', isSyn))
    holdSet(only(copies, 'the copied SET', isSet), only(originals, 'the SET', isSet), synAck)
  })
}

function holdSyn(copy: Packet, original: Packet): void {
  for (const kind of ['mss', 'wscale', 'sackOK']) assert.ok(original.options.has(kind), kind)
  assert.deepEqual(copy, { ...original, to: TARGET })
}

function holdSet(copy: Packet, original: Packet, synAck: Packet): void {
  assert.ok(original.tsVal > 0)
  // What differs is the target's: its address, its sequence number and its clock.
  assert.notEqual(copy.ack, original.ack)
  assert.notEqual(copy.tsEcr, original.tsEcr)
  assert.deepEqual(copy, { ...original, to: TARGET, ack: (synAck.seq + 1) >>> 0, tsEcr: synAck.tsVal })
}

test("the target's answer reaches the assistant, and nothing of the target ever reaches the client", async () => {
  await using lab = await openCopyLab()
  const seen = await captureSet(lab)
  const answer = only(seen.assistant, 'the answer', ({ payload }) => payload === '+OK\r\n')
  assert.deepEqual([answer.from, answer.to], [TARGET, CLIENT])
  assert.deepEqual([...new Set(seen.client.map(({ from }) => from))].sort(), [SOURCE, CLIENT])
  assert.equal(seen.client.filter(({ flags }) => flags.includes('R')).length, 0)
  // Not forwarded, and not reset by the assistant either.
  assert.deepEqual([...new Set(seen.assistant.map(({ from }) => from))], [TARGET])
  assert.ok(seen.target.every(({ from }) => from === CLIENT || from === TARGET))
  assert.ok(!seen.source.some(({ from }) => from === ASSISTANT))
})
