/** intercept's worker: captures answers and returns their headers. */
import { TargetFindings } from '../../core/assistant/target-findings.ts'
import { InterceptCounter, InterceptCounters } from '../../core/books/intercept-counters.ts'
import { TranslatingCapture } from '../../daemon/capture/translating-capture.ts'
import { Interceptor } from '../../daemon/interceptor/interceptor.ts'
import { OperatorError } from '../../errors.ts'
import { cryptography } from '../../io/cryptography.ts'
import { answerSteering } from '../../io/linux/capture/filter.ts'
import { compileFilter } from '../../io/linux/capture/libpcap.ts'
import { PacketRing } from '../../io/linux/capture/ring.ts'
import { NfQueue } from '../../io/linux/netfilter/nfqueue.ts'
import { isEthernet } from '../../io/linux/netlink/devices.ts'
import { listenOn, TcpListener } from '../../io/linux/sockets/streams.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import { POLLIN, Poller } from '../../io/linux/system/poller.ts'
import { wake } from '../../io/linux/system/wake.ts'
import { WorkerExchange } from '../../io/worker-exchange.ts'
import { addressBook } from '../../wire/address-book.ts'
import { RECORD_LENGTH, RECORD_PAYLOAD_MAX } from '../../wire/channel/channel-v1.ts'
import type { InterceptPlan } from '../plans/intercept-plan.ts'
import { sharedClockMs, type WorkerMeans } from './worker-protocol.ts'
import { isStopped, log, notices, type OpenedWorker, runWorker } from './worker-thread.ts'

export interface InterceptorWorkerData {
  /** This worker's part of the plan. */
  readonly plan: InterceptPlan
  readonly counters: SharedArrayBuffer
  /** Memory of `WorkerExchange`. */
  readonly messages: SharedArrayBuffer
  /**
   * Shared by all workers: the socket of `listenOn`; and, by device and IP version, the fanout groups that the first
   * worker's captures opened.
   */
  readonly listener: Int32Array
  readonly groups: Int32Array
  /** `TargetFindings.length` words. */
  readonly findings: Int32Array
  /** The counters of all workers. */
  readonly allCounters: readonly SharedArrayBuffer[]
}

/** Ethernet, IP and TCP headers with all options. */
const SNAP_LENGTH = 160
const SLOT_LENGTH = 256
/** For `--with-resp-payload`. */
const SNAP_LENGTH_LONG = SNAP_LENGTH + RECORD_PAYLOAD_MAX
const SLOT_LENGTH_LONG = 512
/** Input buffer of a peer: room for many routes. */
const INPUT_LENGTH = 16 * 1024

function hasPayload({ channel }: InterceptPlan): boolean {
  return channel.framing.recordLength > RECORD_LENGTH
}

function snapLength(plan: InterceptPlan): number {
  return hasPayload(plan) ? SNAP_LENGTH_LONG : SNAP_LENGTH
}

/**
 * Opens a ring for IPv4, and one for IPv6 if the filter can match IPv6.
 * @param index of the device; each has two fanout groups
 */
function openRings(
  data: InterceptorWorkerData & WorkerMeans,
  device: string | undefined,
  index: number
): readonly PacketRing[] {
  const { filter } = data.plan
  const ipv4 = openRing(data, device, filter, 4, 2 * index)
  try {
    return [ipv4, openRing(data, device, `(${filter}) and ip6`, 6, 2 * index + 1)]
  } catch (error) {
    // libpcap says this for a filter that cannot match, such as `src host 10.0.0.2` with IPv6.
    if (error instanceof OperatorError && error.message.includes('rejects all packets')) return [ipv4]
    ipv4.close()
    throw error
  }
}

function openRing(
  { plan, worker, workers, groups }: InterceptorWorkerData & WorkerMeans,
  device: string | undefined,
  filter: string,
  version: 4 | 6,
  group: number
): PacketRing {
  const link = device !== undefined && isEthernet(device) ? 'ethernet' : 'cooked'
  const ring = new PacketRing({
    device,
    link,
    version,
    filter: compileFilter(filter, { link, snapLength: snapLength(plan) }),
    ringMegabytes: plan.ringMegabytes,
    slotLength: hasPayload(plan) ? SLOT_LENGTH_LONG : SLOT_LENGTH,
    fanoutGroup: worker === 0 ? undefined : groups[group],
    steering: workers === 1 ? undefined : answerSteering(workers, version),
    isHeld: true,
    snapLength: snapLength(plan)
  })
  groups[group] = ring.fanoutGroup
  return ring
}

function openCaptures(data: InterceptorWorkerData & WorkerMeans): readonly (PacketRing | NfQueue)[] {
  const { plan } = data
  if (plan.queue !== undefined) return [new NfQueue({ ...plan.queue, snapLength: snapLength(plan) })]
  const devices = plan.devices.length === 0 ? [undefined] : plan.devices
  return devices.flatMap((device, index) => openRings(data, device, index))
}

function openListener({ plan, worker, listener }: InterceptorWorkerData & WorkerMeans, poller: Poller): TcpListener {
  const { address, port } = plan
  // The socket stays open until the process ends, like the rings: other workers may still use it.
  if (worker === 0) listener[0] = listenOn({ address, port })
  return new TcpListener(poller, { address, port, inputLength: INPUT_LENGTH, shared: listener[0] ?? -1 })
}

function open(data: InterceptorWorkerData & WorkerMeans): OpenedWorker {
  const { plan, counters, control, worker, workers, wakes } = data
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller(data.wake)
  const listener = openListener(data, poller)
  const opened = openCaptures(data)
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
    notices,
    log,
    findings: new TargetFindings({ words: data.findings, clockMs: sharedClockMs() }),
    routes: () =>
      data.allCounters.reduce((total, one) => total + new InterceptCounters(one).get(InterceptCounter.routes), 0),
    exchange:
      workers === 1
        ? undefined
        : new WorkerExchange(data.messages, worker, workers, (other) => wake(wakes[other] ?? -1))
  }
  const interceptor = new Interceptor(ports, plan, new InterceptCounters(counters))
  return {
    begin: () => {
      for (const capture of opened) if (capture instanceof PacketRing) capture.begin()
    },
    run: () => {
      interceptor.run(() => isStopped(control))
      for (const capture of opened) if (capture instanceof NfQueue) capture.close()
      return 0
    }
  }
}

runWorker(open)
