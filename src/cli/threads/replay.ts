/** The worker's part of a replay: its capture, and the report at the end. */
import type { MessagePort } from 'node:worker_threads'
import { Counter, type Counters } from '../../core/books/counters.ts'
import { Drop, LEFT_OUT } from '../../core/books/drop.ts'
import type { Mapping } from '../../core/selection/mapping.ts'
import type { Copier } from '../../daemon/copier/copier.ts'
import { Drain, STALLED_MS } from '../../daemon/copier/drain.ts'
import { OperatorError } from '../../errors.ts'
import { ChunkReceiver } from '../../io/file/chunks.ts'
import { FileCapture } from '../../io/file/file-capture.ts'
import { compileFilter } from '../../io/linux/capture/libpcap.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import { formatEndpoint } from '../../wire/address.ts'
import { LinkType } from '../../wire/link-layer.ts'
import type { ReplayPlan } from '../plans/replay-plan.ts'
import { log } from './worker-thread.ts'

/** Exit statuses of a replay, explained in docs/files.md. */
const ReplayStatus = { Delivered: 0, NotAllDelivered: 2, FileBroken: 3 } as const

const SNAP_LENGTH = 0x40000
const SERVERS_SHOWN = 8

export class Replay {
  readonly capture: FileCapture
  readonly #plan: ReplayPlan
  readonly #counters: Counters
  readonly #drain: Drain
  readonly #ports: string
  readonly #beganAt = monotonic.now()
  #isStalled = false

  /** @param copier called once the replay runs @throws OperatorError for an invalid filter */
  constructor(
    plan: ReplayPlan,
    port: MessagePort,
    mapping: Mapping,
    copier: () => Copier,
    counters: Counters,
    epochTimeoutMs: number
  ) {
    this.#plan = plan
    this.#counters = counters
    this.#drain = new Drain(counters, epochTimeoutMs)
    this.#ports = [...new Set(mapping.maps.map(({ sourcePort }) => sourcePort))].join(', ')
    const { filter } = plan
    const filterFor =
      filter === undefined ? undefined : (link: number) => compileFilter(filter, { link, snapLength: SNAP_LENGTH })
    // Report an invalid filter before the start.
    filterFor?.(LinkType.Ethernet)
    this.capture = new FileCapture(
      { ...plan, filterFor, isWanted: (address, port) => mapping.has(address, port) },
      new ChunkReceiver(port),
      {
        hasRoom: () => copier().hasRoom,
        isSettled: () => this.#drain.isSettled(monotonic.now()),
        endRound: () => copier().endSessions()
      },
      monotonic,
      counters
    )
  }

  /** Whether the replay is done or stalled. To be polled. */
  isOver(): boolean {
    if (this.capture.isDone) return true
    this.#isStalled = this.#drain.isStalled(this.capture.isWaitingForCopy, monotonic.now())
    return this.#isStalled
  }

  /** Logs the result. @returns the exit status @throws OperatorError if nothing could be replayed */
  conclude(): number {
    const { capture } = this
    const counters = this.#counters
    const packets = counters.get(Counter.filePackets)
    if (packets === 0 && capture.failure !== '') throw this.#unreadable()
    if (capture.wantedCount === 0) throw this.#noneWanted(packets)
    if (this.#isStalled) {
      const why = counters.get(Counter.channelsOpen) === 0 ? 'a connection to intercept' : 'an answer'
      log('warn', `the replay is stopped after ${STALLED_MS / 1000} s without ${why}`)
    }
    const undelivered = this.#undelivered()
    const isDelivered = undelivered === '' && !this.#isStalled
    if (!isDelivered) log('warn', `not all of the file was delivered${undelivered}`)
    if (capture.failure !== '') {
      log('warn', `${this.#plan.path} could not be read to its end: ${capture.failure}`, {
        packetsRead: packets,
        hint: 'Everything before that point was replayed.'
      })
    }
    const lost = counters.requests.lost()
    if (lost > 0) {
      log('warn', `${lost} requests were not answered or given up (see notAnswered… and dropped… in the statistics)`)
    }
    log('info', 'the replay has ended', {
      seconds: Math.round(monotonic.now() - this.#beganAt) / 1000,
      packetsRead: packets,
      packetsCopied: counters.get(Counter.capturedPackets),
      connections: counters.get(Counter.sessionsStarted),
      requests: counters.get(Counter.epochs),
      octetsDelivered: counters.get(Counter.deliveredBytes)
    })
    if (capture.failure !== '') return ReplayStatus.FileBroken
    return isDelivered ? ReplayStatus.Delivered : ReplayStatus.NotAllDelivered
  }

  /** What was lost on the way to the target, or in the file, or cannot be copied; without what was chosen. */
  #undelivered(): string {
    const counters = this.#counters
    const leftOut = LEFT_OUT.reduce<number>((total, reason) => total + counters.droppedBytes(reason), 0)
    const tls = counters.droppedBytes(Drop.Tls)
    const notJoined = counters.droppedBytes(Drop.NotJoined)
    const octets = counters.allDroppedBytes() - leftOut
    const cut = counters.droppedPackets(Drop.Truncated)
    const fragments = counters.droppedPackets(Drop.Fragment)
    const parts = [
      octets > 0 ? `${octets} bytes were lost (see dropped… in the statistics)` : '',
      tls > 0 ? `${tls} bytes belong to TLS connections, which cannot be copied` : '',
      notJoined > 0
        ? `${notJoined} bytes belong to connections that began before the file, before a request that is certainly whole`
        : '',
      cut > 0 ? `${cut} packets are truncated in the file (capture with tcpdump -s 0)` : '',
      fragments > 0 ? `${fragments} IP fragments are incomplete in the file` : ''
    ].filter((part) => part !== '')
    return parts.length === 0 ? '' : `: ${parts.join('; ')}`
  }

  #unreadable(): OperatorError {
    const what = `${this.#plan.path} cannot be replayed: ${this.capture.failure}`
    return new OperatorError('bad-file', what, 'Use a capture file of tcpdump -w or Wireshark, plain or gzipped.')
  }

  #noneWanted(packets: number): OperatorError {
    const { capture } = this
    const { servers } = capture
    const message = `${this.#plan.path} contains no packets to port ${this.#ports}, which -x names`
    const shown = servers.list(SERVERS_SHOWN).map(({ address, port, packets, connections }) => {
      const opened = connections === 0 ? '' : `, ${connections} connections`
      return `${formatEndpoint(address, port)} (${packets} packets${opened})`
    })
    const more = servers.count > shown.length ? `, and ${servers.count - shown.length} more` : ''
    let hint = `It contains these servers: ${shown.join(', ')}${more}. Name one in -x.`
    if (capture.chosenCount === 0) hint = `-F, --from and --to exclude all of its ${packets} packets.`
    else if (shown.length === 0) hint = `None of its ${capture.chosenCount} packets is TCP.`
    return new OperatorError('no-match', message, hint)
  }
}
