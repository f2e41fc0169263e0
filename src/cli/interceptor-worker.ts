/** intercept's data plane: the thread that captures answers and returns their headers. */

import { InterceptCounters } from '../core/intercept-counters.ts'
import { Interceptor } from '../daemon/interceptor.ts'
import { TranslatingCapture } from '../daemon/translating-capture.ts'
import { OperatorError } from '../errors.ts'
import { cryptography } from '../io/cryptography.ts'
import { monotonic } from '../io/linux/clock.ts'
import { isEthernet } from '../io/linux/devices.ts'
import { compileFilter } from '../io/linux/libpcap.ts'
import { NfQueue } from '../io/linux/nfqueue.ts'
import { POLLIN, Poller } from '../io/linux/poller.ts'
import { PacketRing } from '../io/linux/ring.ts'
import { TcpListener } from '../io/linux/streams.ts'
import { addressBook } from '../wire/address-book.ts'
import { RECORD_LENGTH, RECORD_PAYLOAD_MAX } from '../wire/channel-v1.ts'
import type { InterceptPlan } from './intercept-plan.ts'
import { isStopped, log, runWorker, say } from './worker-thread.ts'

export interface InterceptorWorkerData {
  readonly plan: InterceptPlan
  readonly counters: SharedArrayBuffer
  readonly control: SharedArrayBuffer
}

/** Headers: Ethernet, IP and TCP with all their options. */
const SNAP_LENGTH = 160
const SLOT_LENGTH = 256
/** With the payload that `--with-resp-payload` asks for. */
const SNAP_LENGTH_LONG = SNAP_LENGTH + RECORD_PAYLOAD_MAX
const SLOT_LENGTH_LONG = 512
/** What a peer may send before we look at it: many routes. */
const INPUT_LENGTH = 16 * 1024

function hasPayload({ channel }: InterceptPlan): boolean {
  return channel.framing.recordLength > RECORD_LENGTH
}

function snapLength(plan: InterceptPlan): number {
  return hasPayload(plan) ? SNAP_LENGTH_LONG : SNAP_LENGTH
}

/** Opens the ring for IPv4, and the one for IPv6 where the filter passes any of it. */
function openRings(plan: InterceptPlan, device: string | undefined): readonly PacketRing[] {
  const ipv4 = openRing(plan, device, plan.filter, 4)
  try {
    return [ipv4, openRing(plan, device, `(${plan.filter}) and ip6`, 6)]
  } catch (error) {
    // libpcap's words for a filter that nothing can pass, as `src host 10.0.0.2` over IPv6.
    if (error instanceof OperatorError && error.message.includes('rejects all packets')) return [ipv4]
    ipv4.close()
    throw error
  }
}

function openRing(plan: InterceptPlan, device: string | undefined, filter: string, version: 4 | 6): PacketRing {
  const link = device !== undefined && isEthernet(device) ? 'ethernet' : 'cooked'
  return new PacketRing({
    device,
    link,
    version,
    filter: compileFilter(filter, { link, snapLength: snapLength(plan) }),
    ringMegabytes: plan.ringMegabytes,
    slotLength: hasPayload(plan) ? SLOT_LENGTH_LONG : SLOT_LENGTH,
    defragment: false,
    headersOnly: true
  })
}

function openCaptures(plan: InterceptPlan): readonly (PacketRing | NfQueue)[] {
  if (plan.queue !== undefined) return [new NfQueue({ ...plan.queue, snapLength: snapLength(plan) })]
  const devices = plan.devices.length === 0 ? [undefined] : plan.devices
  return devices.flatMap((device) => openRings(plan, device))
}

function run({ plan, counters, control }: InterceptorWorkerData): number {
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller()
  const words = new Int32Array(control)
  const listener = new TcpListener(poller, { address: plan.address, port: plan.port, inputLength: INPUT_LENGTH })
  const opened = openCaptures(plan)
  for (const capture of opened) poller.add(capture.fd, POLLIN)
  const { translations } = plan
  const captures =
    translations.length === 0 ? opened : opened.map((capture) => new TranslatingCapture(capture, translations))
  const ports = {
    captures,
    listener,
    cryptography,
    clock: monotonic,
    waiter: poller,
    log
  }
  const interceptor = new Interceptor(ports, plan, new InterceptCounters(counters))
  say({ type: 'ready', wake: poller.wakeDescriptor })
  interceptor.run(() => isStopped(words))
  for (const capture of captures) capture.close()
  return 0
}

runWorker(run)
