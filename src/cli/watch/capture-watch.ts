/**
 * Says so if nothing is captured, and what this host carries instead. tcpcopy's main thread runs it: it looks at other
 * traffic for one second, and only when it has something to say.
 */
import { Condition } from '../../daemon/notices/condition.ts'
import { Notices } from '../../daemon/notices/notices.ts'
import { type CaptureSilence, explainSilence, isIdle } from '../../doctor/capture-silence.ts'
import { type Sighting, Survey } from '../../io/linux/capture/survey.ts'
import { readServedPort } from '../../io/linux/netlink/served-port.ts'
import { monotonic } from '../../io/linux/system/clock.ts'
import type { Log } from '../../ports.ts'
import { formatEndpoint } from '../../wire/address.ts'
import { listTranslations } from '../firewall/firewall.ts'
import type { CapturePlan } from '../plans/capture-plan.ts'
import { listenersElsewhere, publishedPorts } from './other-namespaces.ts'

/** Nothing is captured for so long before it is said. */
const SILENCE_MS = 10_000
const SURVEY_MS = 1000
const LOOK_MS = 50
const NOTHING = 'nothing is captured'

/** A service whose clients are captured. @property address 0: any */
interface Service {
  readonly address: number
  readonly port: number
}

/** What a capture is to see. */
export interface WatchedCapture {
  readonly services: readonly Service[]
  readonly capture: CapturePlan
  /** TCP or UDP, by number. */
  readonly protocol: number
  /** Packets captured so far. */
  readonly count: () => number
}

export class CaptureWatch {
  readonly #watched: WatchedCapture
  readonly #notices = new Notices()
  readonly #silence: Condition
  #captured = 0
  #capturedAt: number
  /** The kernel is asked for clients at most once in each period of silence. */
  #askAt = 0
  #isSurveying = false
  #isIdleSaid = false

  constructor(watched: WatchedCapture) {
    this.#watched = watched
    this.#capturedAt = monotonic.now()
    this.#silence = new Condition(this.#notices, { message: NOTHING, overMessage: 'packets are captured' })
  }

  /** Call it once a second. */
  check(log: Log): void {
    const now = monotonic.now()
    const captured = this.#watched.count()
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
    const states = this.#services.map((service) => this.#stateOf(service))
    const isReceiving = states.some((state) => state?.receives === true)
    if (this.#captured > 0 && !isReceiving) return
    if (this.#isIdleSaid && !isReceiving && states.every((state) => state?.listens === true)) return
    this.#isSurveying = true
    const { capture, protocol } = this.#watched
    survey(capture.devices, protocol, (seen) => {
      this.#isSurveying = false
      if (this.#watched.count() === this.#captured) this.#report(seen)
      this.#notices.drain(log, monotonic.now())
    })
  }

  /** The services, each once. */
  get #services(): readonly Service[] {
    const { services } = this.#watched
    return services.filter((one, index) => services.findIndex((other) => placeOf(other) === placeOf(one)) === index)
  }

  /** What the kernel knows of a service; undefined: the source is another host, or the kernel does not tell. */
  #stateOf({ port }: Service): Pick<CaptureSilence, 'listens' | 'clients' | 'receives'> | undefined {
    if (this.#watched.capture.devices.length > 0) return undefined
    const served = readServedPort(port, this.#watched.protocol)
    if (served === undefined) return undefined
    const { listeners, clients, receivedAgeMs } = served
    return { listens: listeners.length > 0, clients, receives: receivedAgeMs < monotonic.now() - this.#capturedAt }
  }

  #report(seen: readonly Sighting[]): void {
    const now = monotonic.now()
    const silences = this.#services.map((service) => this.#silenceOf(service, seen, now))
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

  #silenceOf(service: Service, seen: readonly Sighting[], now: number): CaptureSilence {
    const { capture } = this.#watched
    const { port } = service
    const state = this.#stateOf(service) ?? { listens: undefined, clients: 0, receives: false }
    const isHere = state.listens !== undefined
    return {
      ...state,
      source: placeOf(service),
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

function placeOf({ address, port }: Service): string {
  return address === 0 ? `*:${port}` : formatEndpoint(address, port)
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
