/** One redis SET, captured with tcpdump on every host: what the copy keeps, and what it changes. */
import assert from 'node:assert/strict'
import { ASSISTANT, CLIENT, type HostName, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import { startPacketDump } from '../../../lab/hosts/packet-dump.ts'
import { type Copy, copied } from '../support/copied.ts'
import { type Packet, readPackets } from '../support/packet-file.ts'

type Captures = Readonly<Record<HostName, Packet[]>>

/** Copies one SET, with tcpdump on every host. */
async function captureSet(copy: Copy): Promise<Captures> {
  const { lab } = copy
  const dumpOn = (name: HostName) => startPacketDump(lab.hosts[name], 'tcp port 6379', `${lab.folder}/${name}.pcap`)
  const dumps = {
    client: await dumpOn('client'),
    source: await dumpOn('source'),
    target: await dumpOn('target'),
    assistant: await dumpOn('assistant')
  }
  assert.equal(await lab.ask('SET', 'date', 'today'), 'OK')
  await copy.untilSame()
  assert.equal(await lab.askTarget('GET', 'date'), 'today')
  await Promise.all(Object.values(dumps).map((dump) => dump.stop()))
  return {
    client: readPackets(dumps.client.path),
    source: readPackets(dumps.source.path),
    target: readPackets(dumps.target.path),
    assistant: readPackets(dumps.assistant.path)
  }
}

/** The only packet that satisfies the condition; it may have been retransmitted. */
function only(packets: readonly Packet[], what: string, accepts: (packet: Packet) => boolean): Packet {
  const [packet, ...others] = packets.filter(accepts)
  assert.ok(packet !== undefined, `no packet is ${what}`)
  for (const { seq } of others) assert.equal(seq, packet.seq, `more than one packet is ${what}`)
  return packet
}

const isSet = (packet: Packet): boolean => packet.payload.includes('SET') && packet.payload.includes('today')
const isSyn = (packet: Packet): boolean => packet.flags === 'S'

for (const offloads of [false, true]) {
  copied(
    `the copied SYN and SET differ from the client's only in what is the target's, offloads ${offloads ? 'on' : 'off'}`,
    { offloads },
    async (copy) => {
      const seen = await captureSet(copy)
      // tcpcopy sends through the same device: the source's capture has the copies as well.
      const originals = seen.source.filter(({ to }) => to === SOURCE)
      const copies = seen.target.filter(({ to }) => to === TARGET)
      const synAck = only(seen.assistant, 'the SYN-ACK of the target', ({ flags }) => flags === 'S.')
      assertSyn(only(copies, 'the copied SYN', isSyn), only(originals, 'the SYN', isSyn))
      assertSet(only(copies, 'the copied SET', isSet), only(originals, 'the SET', isSet), synAck)
    }
  )
}

function assertSyn(copy: Packet, original: Packet): void {
  for (const kind of ['mss', 'wscale', 'sackOK']) assert.ok(original.options.has(kind), kind)
  assert.deepEqual(copy, { ...original, to: TARGET })
}

function assertSet(copy: Packet, original: Packet, synAck: Packet): void {
  assert.ok(original.tsVal > 0)
  // What differs is the target's: its address, its sequence number and its clock.
  assert.notEqual(copy.ack, original.ack)
  assert.notEqual(copy.tsEcr, original.tsEcr)
  assert.deepEqual(copy, { ...original, to: TARGET, ack: (synAck.seq + 1) >>> 0, tsEcr: synAck.tsVal })
}

copied(
  "the target's answer reaches the assistant, and nothing from the target reaches the client",
  {},
  async (copy) => {
    const seen = await captureSet(copy)
    const answer = only(seen.assistant, 'the answer', ({ payload }) => payload === '+OK\r\n')
    assert.deepEqual([answer.from, answer.to], [TARGET, CLIENT])
    assert.deepEqual([...new Set(seen.client.map(({ from }) => from))].sort(), [SOURCE, CLIENT])
    assert.equal(seen.client.filter(({ flags }) => flags.includes('R')).length, 0)
    // Not forwarded, and not reset by the assistant either.
    assert.deepEqual([...new Set(seen.assistant.map(({ from }) => from))], [TARGET])
    assert.ok(seen.target.every(({ from }) => from === CLIENT || from === TARGET))
    assert.ok(!seen.source.some(({ from }) => from === ASSISTANT))
  }
)
