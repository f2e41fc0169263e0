/**
 * Says so if nothing is captured, and what this host carries instead. tcpcopy's main thread runs it: it looks at other
 * traffic for one second, and only when it has something to say.
 */
import { Counter, type Counters } from '../../core/books/counters.ts'
import type { CopyMap } from '../../core/selection/mapping.ts'
import { Condition } from '../../daemon/notices/condition.ts'
import { Notices } from '../../daemon/notices/notices.ts'
import { type CaptureSilence, explainSilence, isIdle } from '../../doctor/capture-silence.ts'
import { type Sighting, Survey } from '../../io/linux/capture/survey.ts'
import { readServedPort } from '../../io/linux/netlink/served-port.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import type { Log } from '../../ports.ts'
import { formatEndpoint } from '../../wire/address.ts'
import { UDP } from '../../wire/datagram.ts'
import { TCP } from '../../wire/segment.ts'
import { listTranslations } from '../firewall/firewall.ts'
import type { CopyPlan } from '../plans/copy-plan.ts'
import { listenersElsewhere, publishedPorts } from './other-namespaces.ts'

/** Nothing is captured for so long before it is said. */
const SILENCE_MS = 10_000
const SURVEY_MS = 1000
const LOOK_MS = 50
const NOTHING = 'nothing is captured'

export class CaptureWatch {
  readonly #plan: CopyPlan
  readonly #counters: () => Counters
  readonly #notices = new Notices()
  readonly #silence: Condition
  readonly #startedAt: number
  #captured = 0
  #capturedAt: number
  /** The kernel is asked for clients at most once in each period of silence. */
  #askAt = 0
  #isSurveying = false
  #isIdleSaid = false

  constructor(plan: CopyPlan, counters: () => Counters) {
    this.#plan = plan
    this.#counters = counters
    this.#startedAt = monotonic.now()
    this.#capturedAt = this.#startedAt
    this.#silence = new Condition(this.#notices, { message: NOTHING, overMessage: 'packets are captured' })
  }

  /** Call it once a second. */
  check(log: Log): void {
    const now = monotonic.now()
    const captured = this.#counters().get(Counter.capturedPackets)
    if (captured > this.#captured) {
      this.#captured = captured
      this.#capturedAt = now
      this.#silence.update(false, now, () => ({}))
    } else if (now - this.#capturedAt >= SILENCE_MS && now >= this.#askAt) this.#onSilence(log, now)
    this.#notices.drain(log, now)
  }

  #onSilence(log: Log, now: number): void {
    if (this.#isSurveying || !this.#silence.wouldWarn(now)) return
    this.#askAt = now + SILENCE_MS
    // Later, silence is a fault only if the kernel shows that something should have been captured.
    const states = this.#maps.map((map) => this.#stateOf(map))
    const isReceiving = states.some((state) => state?.receives === true)
    if (this.#captured > 0 && !isReceiving) return
    if (this.#isIdleSaid && !isReceiving && states.every((state) => state?.listens === true)) return
    this.#isSurveying = true
    survey(this.#plan.capture.devices, this.#protocol, (seen) => {
      this.#isSurveying = false
      if (this.#counters().get(Counter.capturedPackets) === this.#captured) this.#report(seen)
      this.#notices.drain(log, monotonic.now())
    })
  }

  /** The services, each once. */
  get #maps(): readonly CopyMap[] {
    const { maps } = this.#plan.settings.selection
    return maps.filter((map, index) => maps.findIndex((other) => placeOf(other) === placeOf(map)) === index)
  }

  get #protocol(): number {
    return this.#plan.isUdp ? UDP : TCP
  }

  /** What the kernel knows of a service; undefined: the source is another host, or the kernel does not tell. */
  #stateOf({ sourcePort }: CopyMap): Pick<CaptureSilence, 'listens' | 'clients' | 'receives'> | undefined {
    if (this.#plan.capture.devices.length > 0) return undefined
    const served = readServedPort(sourcePort, this.#protocol)
    if (served === undefined) return undefined
    const { listeners, clients, receivedAgeMs } = served
    return { listens: listeners.length > 0, clients, receives: receivedAgeMs < monotonic.now() - this.#capturedAt }
  }

  #report(seen: readonly Sighting[]): void {
    const now = monotonic.now()
    const silences = this.#maps.map((map) => this.#silenceOf(map, seen, now))
    const faults = silences.filter((silence) => !isIdle(silence))
    if (faults.length === 0) {
      if (this.#isIdleSaid) return
      this.#isIdleSaid = true
      this.#notices.add('info', 'nothing is captured yet: no client sends anything', {
        of: silences.map(({ source }) => source).join(', '),
        clients: silences.reduce((total, { clients }) => total + clients, 0)
      })
      return
    }
    this.#silence.update(true, now, () => ({
      of: faults.map(({ source }) => source).join(', '),
      seconds: Math.round((now - this.#capturedAt) / 1000),
      hint: faults
        .flatMap((fault) =>
          explainSilence(fault).map((line) => (faults.length > 1 ? `${fault.source}: ${line}` : line))
        )
        .join('\n  ')
    }))
  }

  #silenceOf(map: CopyMap, seen: readonly Sighting[], now: number): CaptureSilence {
    const { capture } = this.#plan
    const port = map.sourcePort
    const state = this.#stateOf(map) ?? { listens: undefined, clients: 0, receives: false }
    const isHere = state.listens !== undefined
    return {
      ...state,
      source: placeOf(map),
      port,
      seconds: Math.round((now - this.#capturedAt) / 1000),
      devices: capture.devices,
      filter: capture.filter,
      seen,
      others: isHere && state.listens !== true ? listenersElsewhere(port) : [],
      published: isHere ? publishedPorts(port, listTranslations()) : []
    }
  }
}

function placeOf({ sourceAddress, sourcePort }: CopyMap): string {
  return sourceAddress === 0 ? `*:${sourcePort}` : formatEndpoint(sourceAddress, sourcePort)
}

/** Looks at the traffic of this host for a second. @param take gets what was seen; nothing, if that is not possible */
function survey(devices: readonly string[], protocol: number, take: (seen: readonly Sighting[]) => void): void {
  const look = openSurvey(devices, protocol)
  const timer = setInterval(() => look?.look(), LOOK_MS)
  const end = (): void => {
    clearInterval(timer)
    look?.look()
    look?.close()
    take(look?.sightings ?? [])
  }
  setTimeout(end, SURVEY_MS).unref()
  timer.unref()
}

/** @returns undefined if a device is gone */
function openSurvey(devices: readonly string[], protocol: number): Survey | undefined {
  try {
    return new Survey(devices, protocol)
  } catch {
    return undefined // The capture says so itself.
  }
}
