/**
 * A program for the target of the lab: sends answers from one address and port to another, as fast as it can, until it is
 * killed. answer-flood.js FROM PORT TO PORT
 */
import { Outbox } from '../../../../src/core/packets/outbox.ts'
import { RawIpSender } from '../../../../src/io/linux/send/raw-ip-sender.ts'
import { mapMemory } from '../../../../src/io/linux/system/memory.ts'
import { parseAddress } from '../../../../src/wire/address.ts'
import { put16 } from '../../../../src/wire/bytes.ts'
import { putIpv4Header } from '../raw-packets.ts'

const [, , fromText = '', fromPort, toText = '', toPort] = process.argv
const from = parseAddress(fromText) ?? 0
const to = parseAddress(toText) ?? 0
const memory = mapMemory(1 << 17)
const { bytes } = memory
const outbox = new Outbox(bytes, 0, 256)
const sender = new RawIpSender(memory.address)
/** Leaves some CPU time: the test asks for statistics meanwhile. */
const BATCHES = 4

setInterval(() => {
  for (let batch = 0; batch < BATCHES; batch++) {
    while (outbox.count < outbox.framesMax) {
      const at = outbox.nextHeaderAt()
      putIpv4Header(bytes, at, from, to)
      put16(bytes, at + 20, Number(fromPort))
      put16(bytes, at + 22, Number(toPort))
      bytes[at + 32] = 0x50
      bytes[at + 33] = 0x10
      outbox.add(40, 1 << 16, 0, to)
    }
    sender.flush(outbox)
  }
}, 10)
