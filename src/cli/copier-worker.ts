/** tcpcopy's data plane: the thread that captures, steps the sessions and sends. */
import type { MessagePort } from 'node:worker_threads'
import { Counters } from '../core/counters.ts'
import { type CopyMap, Mapping } from '../core/mapping.ts'
import { Copier, type CopierOptions, copierMemoryLength } from '../daemon/copier.ts'
import { cryptography } from '../io/cryptography.ts'
import { JoinedCapture } from '../io/joined-capture.ts'
import { copyFilter, copyFilter6 } from '../io/linux/filter.ts'
import { LinkSender } from '../io/linux/link-sender.ts'
import { mapMemory } from '../io/linux/memory.ts'
import { copyOctets } from '../io/linux/native-copy.ts'
import { POLLIN, Poller } from '../io/linux/poller.ts'
import { RawIpSender } from '../io/linux/raw-ip-sender.ts'
import { PacketRing } from '../io/linux/ring.ts'
import { LinuxNetwork } from '../io/linux/streams.ts'
import type { Capture, Sender } from '../ports.ts'
import { addressBook, isIpv6 } from '../wire/address-book.ts'
import type { CopyPlan, SendBy } from './copy-plan.ts'
import { monotonic } from './monotonic.ts'
import { Replay } from './replay.ts'
import { LineTrace } from './trace.ts'
import { isStopped, log, runWorker, say } from './worker-thread.ts'

export interface CopierWorkerData {
  readonly plan: CopyPlan
  readonly counters: SharedArrayBuffer
  readonly control: SharedArrayBuffer
  /** With a replay: where the file comes from. */
  readonly chunks: MessagePort | undefined
}

function openSender(by: SendBy, memoryAddress: number, maps: readonly CopyMap[]): Sender {
  const raw = by === 'link' ? undefined : new RawIpSender(memoryAddress)
  if (maps.some((map) => isIpv6(map.targetAddress))) raw?.openIpv6()
  if (by === 'ip' && raw !== undefined) return raw
  return new LinkSender(memoryAddress, raw, (target, through) => log('info', 'way to target', { target, through }))
}

/** A ring for each version of IP that is copied. */
function openCapture(plan: CopyPlan, poller: Poller): Capture {
  const has = (version: 4 | 6): boolean => plan.maps.some((map) => isIpv6(map.targetAddress) === (version === 6))
  if (!has(6)) return openRing(plan, 4, poller)
  const ipv6 = openRing(plan, 6, poller)
  return has(4) ? new JoinedCapture(openRing(plan, 4, poller), ipv6) : ipv6
}

function openRing(plan: CopyPlan, version: 4 | 6, poller: Poller): PacketRing {
  const maps = plan.maps.filter((map) => isIpv6(map.targetAddress) === (version === 6))
  const targets = maps.map((map) => ({ address: map.sourceAddress, port: map.sourcePort }))
  const filter = version === 6 ? copyFilter6(targets) : copyFilter(targets)
  const { device, ringMegabytes } = plan
  const ring = new PacketRing({ device, link: 'cooked', version, filter, ringMegabytes })
  poller.add(ring.fd, POLLIN)
  return ring
}

function run({ plan, counters, control, chunks }: CopierWorkerData): number {
  addressBook.takeOver(plan.addressBook)
  const poller = new Poller()
  const words = new Int32Array(control)
  const mapping = new Mapping(plan.maps, plan.ranges, plan.loopbackAddress)
  const options: CopierOptions = {
    ...plan,
    mapping,
    epochs: { isWaiting: plan.isWaiting, timeoutMs: plan.epochTimeoutMs }
  }
  const memory = mapMemory(copierMemoryLength(plan.poolBytes))
  const counts = new Counters(counters)
  let copier: Copier
  const replay =
    plan.replay === undefined || chunks === undefined
      ? undefined
      : new Replay(plan.replay, chunks, mapping, () => copier, counts, plan.epochTimeoutMs)
  const capture = replay?.capture ?? openCapture(plan, poller)
  const sender = openSender(plan.sendBy, memory.address, plan.maps)
  const ports = {
    capture,
    sender,
    network: new LinuxNetwork(poller),
    cryptography,
    clock: monotonic,
    waiter: poller,
    log,
    copy: copyOctets
  }
  const trace = plan.trace === undefined ? undefined : new LineTrace(plan.trace, memory.bytes, say, words)
  copier = new Copier(ports, options, memory.bytes, counts, trace)
  say({ type: 'ready', wake: poller.wakeDescriptor })
  copier.run(() => isStopped(words) || replay?.isOver() === true)
  capture.close()
  sender.close()
  return isStopped(words) ? 0 : (replay?.conclude() ?? 0)
}

runWorker(run)
