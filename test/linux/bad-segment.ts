/** A program for a host of the lab: sends one TCP segment of five octets with a wrong checksum to port 6379. */
import { Outbox } from '../../src/core/outbox.ts'
import { mapMemory } from '../../src/io/linux/memory.ts'
import { RawIpSender } from '../../src/io/linux/raw-ip-sender.ts'
import { parseAddress } from '../../src/wire/address.ts'
import { put16, put32 } from '../../src/wire/bytes.ts'

const target = parseAddress(process.argv[2] ?? '') ?? 0
const memory = mapMemory(1 << 16)
const { bytes } = memory
const outbox = new Outbox(bytes, 0, 4)
const sender = new RawIpSender(memory.address)
const at = outbox.nextHeaderAt()
const payloadAt = 1 << 15
bytes[at] = 0x45
bytes[at + 8] = 64
bytes[at + 9] = 6
put32(bytes, at + 12, parseAddress('10.77.0.10') ?? 0)
put32(bytes, at + 16, target)
put16(bytes, at + 20, 40_000)
put16(bytes, at + 22, 6379)
bytes[at + 32] = 0x50
bytes[at + 33] = 0x18
put16(bytes, at + 36, 0xbad)
bytes.set(Buffer.from('PING\n'), payloadAt)
outbox.add(40, payloadAt, 5, target)
sender.flush(outbox)
sender.close()
