/**
 * A program for a host of the lab: sends SYNs to the source, each from an address of its own that never acknowledges.
 * half-open-clients.js COUNT
 */
import { PORT, SOURCE } from '../../../../lab/hosts/copy-lab.ts'
import { Outbox } from '../../../../src/core/packets/outbox.ts'
import { RawIpSender } from '../../../../src/io/linux/send/raw-ip-sender.ts'
import { mapMemory } from '../../../../src/io/linux/system/memory.ts'
import { parseAddress } from '../../../../src/wire/address.ts'
import { put16, put32 } from '../../../../src/wire/bytes.ts'
import { fold, pseudoHeaderSum, sum } from '../../../../src/wire/checksum.ts'
import { SYN, TCP, TCP_HEADER } from '../../../../src/wire/segment.ts'
import { putIpv4Header } from '../raw-packets.ts'

const FRAMES = 64
const FIRST = parseAddress('10.88.0.1') ?? 0
const source = parseAddress(SOURCE) ?? 0
const memory = mapMemory(1 << 17)
const { bytes } = memory
const outbox = new Outbox(bytes, 0, FRAMES)
const sender = new RawIpSender(memory.address)

for (let index = 0; index < Number(process.argv[2]); index++) {
  const at = outbox.nextHeaderAt()
  putIpv4Header(bytes, at, FIRST + index, source)
  const tcp = at + 20
  put16(bytes, tcp, 40_000)
  put16(bytes, tcp + 2, PORT)
  put32(bytes, tcp + 4, index * 7919)
  put32(bytes, tcp + 8, 0)
  bytes[tcp + 12] = 0x50
  bytes[tcp + 13] = SYN
  put16(bytes, tcp + 14, 64_000)
  put32(bytes, tcp + 16, 0)
  const total = pseudoHeaderSum(FIRST + index, source, TCP, TCP_HEADER) + sum(bytes, tcp, TCP_HEADER)
  put16(bytes, tcp + 16, ~fold(total))
  outbox.add(40, 0, 0, source)
  if (outbox.count < FRAMES) continue
  sender.flush(outbox)
  outbox.clear()
}
sender.flush(outbox)
sender.close()
