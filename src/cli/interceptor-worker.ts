/** intercept's data plane: the thread that captures answers and returns their headers. */
import { InterceptCounters } from '../core/intercept-counters.ts'
import { Interceptor } from '../daemon/interceptor.ts'
import { TranslatingCapture } from '../daemon/translating-capture.ts'
import { cryptography } from '../io/cryptography.ts'
import { isEthernet } from '../io/linux/devices.ts'
import { compileFilter } from '../io/linux/libpcap.ts'
import { NfQueue } from '../io/linux/nfqueue.ts'
import { POLLIN, Poller } from '../io/linux/poller.ts'
import { PacketRing } from '../io/linux/ring.ts'
import { TcpListener } from '../io/linux/streams.ts'
import type { InterceptPlan } from './intercept-plan.ts'
import { monotonic } from './monotonic.ts'
import type { WorkerMeans } from './worker-protocol.ts'
import { isStopped, log, type OpenedWorker, runWorker } from './worker-thread.ts'

export interface InterceptorWorkerData {
  readonly plan: InterceptPlan
  readonly counters: SharedArrayBuffer
}

/** Headers only: Ethernet, IPv4 and TCP with all their options. */
const SNAP_LENGTH = 160
const SLOT_LENGTH = 256
/** What a peer may send before we look at it: many routes. */
const INPUT_LENGTH = 16 * 1024

function openRing(plan: InterceptPlan, device: string | undefined): PacketRing {
  const link = device !== undefined && isEthernet(device) ? 'ethernet' : 'cooked'
  return new PacketRing({
    device,
    link,
    filter: compileFilter(plan.filter, { link, snapLength: SNAP_LENGTH }),
    ringMegabytes: plan.ringMegabytes,
    slotLength: SLOT_LENGTH,
    defragment: false,
    headersOnly: true
  })
}

function openCaptures(plan: InterceptPlan): readonly (PacketRing | NfQueue)[] {
  if (plan.queue !== undefined) return [new NfQueue({ ...plan.queue, snapLength: SNAP_LENGTH })]
  const devices = plan.devices.length === 0 ? [undefined] : plan.devices
  return devices.map((device) => openRing(plan, device))
}

function open({ plan, counters, control, wake }: InterceptorWorkerData & WorkerMeans): OpenedWorker {
  const poller = new Poller(wake)
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
  return {
    run: () => {
      interceptor.run(() => isStopped(control))
      for (const capture of captures) capture.close()
      return 0
    }
  }
}

runWorker(open)
