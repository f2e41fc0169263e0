/**
 * A program for a host of the lab: sends the source segments of live connections with random sequence and
 * acknowledgment numbers, as a stranger would who knows addresses and ports.
 * forged-segments.js COUNT SEED PORT...: of each kind, for each of the client's ports
 */
import { CLIENT, PORT, SOURCE } from '../../../../lab/hosts/copy-lab.ts'
import { Outbox } from '../../../../src/core/packets/outbox.ts'
import { RawIpSender } from '../../../../src/io/linux/send/raw-ip-sender.ts'
import { mapMemory } from '../../../../src/io/linux/system/memory.ts'
import { Random } from '../../../../src/sim/scenario/random.ts'
import { parseAddress } from '../../../../src/wire/address.ts'
import { put16, put32 } from '../../../../src/wire/bytes.ts'
import { fold, pseudoHeaderSum, sum } from '../../../../src/wire/checksum.ts'
import { ACK, FIN, PSH, RST } from '../../../../src/wire/segment.ts'
import { putIpv4Header } from '../raw-packets.ts'

const [, , count = '', seed = '', ...ports] = process.argv
const random = new Random(Number(seed))
const client = parseAddress(CLIENT) ?? 0
const source = parseAddress(SOURCE) ?? 0
const FRAMES = 64
const memory = mapMemory(1 << 17)
const { bytes } = memory
const outbox = new Outbox(bytes, 0, FRAMES)
const payloadAt = 1 << 16
const payload = Buffer.from('SET forged yes\r\n')
bytes.set(payload, payloadAt)
const sender = new RawIpSender(memory.address)

function flush(): void {
  sender.flush(outbox)
  outbox.clear()
}

function put(port: number, flags: number, length: number): void {
  const at = outbox.nextHeaderAt()
  putIpv4Header(bytes, at, client, source)
  const tcp = at + 20
  put16(bytes, tcp, port)
  put16(bytes, tcp + 2, PORT)
  put32(bytes, tcp + 4, random.between(-(2 ** 31), 2 ** 31 - 1))
  put32(bytes, tcp + 8, random.between(-(2 ** 31), 2 ** 31 - 1))
  bytes[tcp + 12] = 0x50
  bytes[tcp + 13] = flags
  put16(bytes, tcp + 14, 501)
  put32(bytes, tcp + 16, 0)
  const total = pseudoHeaderSum(client, source, 6, 20 + length) + sum(bytes, tcp, 20) + sum(bytes, payloadAt, length)
  put16(bytes, tcp + 16, ~fold(total))
  outbox.add(40, payloadAt, length, source)
  if (outbox.count === FRAMES) flush()
}

for (let index = 0; index < Number(count); index++) {
  for (const port of ports) {
    put(Number(port), PSH | ACK, payload.length)
    put(Number(port), FIN | ACK, 0)
    put(Number(port), RST, 0)
  }
}
flush()
sender.close()
