/**
 * The floor: the minimum cost of a packet in this runtime. It is tcpcopy's loop with ring, filter, poller and sender but
 * without sessions: each captured packet goes into the outbox unread and unchanged, and each batch is sent. The frames
 * have the target's MAC but the source's IP address, so the target drops them.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Outbox } from '../../src/core/packets/outbox.ts'
import { copyFilter } from '../../src/io/linux/capture/filter.ts'
import { PacketRing } from '../../src/io/linux/capture/ring.ts'
import { LinkSender } from '../../src/io/linux/send/link-sender.ts'
import { RawIpSender } from '../../src/io/linux/send/raw-ip-sender.ts'
import { mapMemory } from '../../src/io/linux/system/memory.ts'
import { copyOctets } from '../../src/io/linux/system/native-copy.ts'
import { POLLIN, Poller } from '../../src/io/linux/system/poller.ts'
import { copyBytes } from '../../src/wire/bytes.ts'

export interface FloorData {
  readonly port: number
  /** IPv4, host byte order, int32. */
  readonly target: number
  /** 1: stop. */
  readonly control: SharedArrayBuffer
}

const FRAMES_MAX = 1024
const BATCH = 256
/** Space for the rest of a packet after its header range. */
const REST_STRIDE = 2048
/** Bytes of a packet that become the header range of a frame: IPv4, and TCP with timestamps. */
const HEADER_LENGTH = 52
/** Longer ones are copied with memcpy, as in tcpcopy. */
const SHORT_MAX = 192
const REFRESH_MS = 1000

// as: floor.ts passed it.
const { port, target, control } = workerData as FloorData
const words = new Int32Array(control)
const restsAt = FRAMES_MAX * Outbox.headerStride
const memory = mapMemory(restsAt + FRAMES_MAX * REST_STRIDE)
const outbox = new Outbox(memory.bytes, 0, FRAMES_MAX)
const poller = new Poller()
const ring = new PacketRing({ device: undefined, link: 'cooked', filter: copyFilter([{ address: 0, port }]) })
const sender = new LinkSender(memory.address, new RawIpSender(memory.address), () => {})

function take(bytes: Uint8Array, at: number, length: number): void {
  const headerLength = Math.min(length, HEADER_LENGTH)
  const restLength = Math.min(length - headerLength, REST_STRIDE)
  const restAt = restsAt + outbox.count * REST_STRIDE
  copyBytes(bytes, at, memory.bytes, outbox.nextHeaderAt(), headerLength)
  const copy = restLength < SHORT_MAX ? copyBytes : copyOctets
  copy(bytes, at + headerLength, memory.bytes, restAt, restLength)
  outbox.add(headerLength, restAt, restLength, target)
}

poller.add(ring.fd, POLLIN)
parentPort?.postMessage({ wake: poller.wakeDescriptor })
let captured = 0
let refreshAt = 0
while (Atomics.load(words, 0) !== 1) {
  poller.wait(REFRESH_MS)
  captured += ring.receive(take, BATCH)
  if (outbox.count > 0) sender.flush(outbox)
  const now = performance.now()
  if (now < refreshAt) continue
  sender.refresh()
  refreshAt = now + REFRESH_MS
}
parentPort?.postMessage({ captured, sent: sender.sentCount, dropped: ring.dropped() })
ring.close()
sender.close()
