/** tcpcopy's data plane: the thread that captures, steps the sessions and sends. */
import { Counters } from '../core/counters.ts'
import { Mapping } from '../core/mapping.ts'
import { Copier, type CopierOptions, copierMemoryLength } from '../daemon/copier.ts'
import { copyFilter } from '../io/linux/filter.ts'
import { LinkSender } from '../io/linux/link-sender.ts'
import { mapMemory } from '../io/linux/memory.ts'
import { copyOctets } from '../io/linux/native-copy.ts'
import { POLLIN, Poller } from '../io/linux/poller.ts'
import { RawIpSender } from '../io/linux/raw-ip-sender.ts'
import { PacketRing } from '../io/linux/ring.ts'
import { LinuxNetwork } from '../io/linux/streams.ts'
import type { Sender } from '../ports.ts'
import type { CopyPlan, SendBy } from './copy-plan.ts'
import { monotonic } from './monotonic.ts'
import { LineTrace } from './trace.ts'
import { isStopped, log, runWorker, say } from './worker-thread.ts'

export interface CopierWorkerData {
  readonly plan: CopyPlan
  readonly counters: SharedArrayBuffer
  readonly control: SharedArrayBuffer
}

function openSender(by: SendBy, memoryAddress: number): Sender {
  if (by === 'ip') return new RawIpSender(memoryAddress)
  const raw = by === 'auto' ? new RawIpSender(memoryAddress) : undefined
  return new LinkSender(memoryAddress, raw, (target, through) => log('info', 'way to target', { target, through }))
}

function run({ plan, counters, control }: CopierWorkerData): void {
  const poller = new Poller()
  const words = new Int32Array(control)
  const mapping = new Mapping(plan.maps, plan.ranges, plan.loopbackAddress)
  const options: CopierOptions = {
    ...plan,
    mapping,
    epochs: { isWaiting: plan.isWaiting, timeoutMs: plan.epochTimeoutMs }
  }
  const memory = mapMemory(copierMemoryLength(plan.poolBytes))
  const places = plan.maps.map((map) => ({ address: map.sourceAddress, port: map.sourcePort }))
  const filter = copyFilter(places, plan.isWithoutAcks)
  const { device, ringMegabytes } = plan
  const capture = new PacketRing({ device, link: 'cooked', filter, ringMegabytes })
  poller.add(capture.fd, POLLIN)
  const sender = openSender(plan.sendBy, memory.address)
  const ports = {
    capture,
    sender,
    network: new LinuxNetwork(poller),
    clock: monotonic,
    waiter: poller,
    log,
    copy: copyOctets
  }
  const trace = plan.trace === undefined ? undefined : new LineTrace(plan.trace, memory.bytes, say, words)
  const copier = new Copier(ports, options, memory.bytes, new Counters(counters), trace)
  say({ type: 'ready', wake: poller.wakeDescriptor })
  copier.run(() => isStopped(words))
  capture.close()
  sender.close()
}

runWorker(run)
