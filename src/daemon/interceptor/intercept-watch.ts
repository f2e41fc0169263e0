/** Watches an intercept as a whole, all workers together, and warns if the copy cannot work as it is. */
import { Condition } from '../notices/condition.ts'
import { Growth } from '../notices/growth.ts'
import type { Notices } from '../notices/notices.ts'

/** Answers, or a tcpcopy, may be missing for so long. */
const PATIENCE_MS = 10_000
/** A tcpcopy that connects again announces its old clients, some of them idle, within this time. */
const RECONNECT_MS = 1500
/** Without another lost answer for so long, it is over. */
const LOST_OVER_MS = 60_000

/** What is known of an intercept at one moment. */
export interface InterceptReading {
  readonly capturedPackets: number
  readonly captureDropped: number
  /** Routes announced so far, and those that are known now. */
  readonly routesAnnounced: number
  readonly routes: number
  readonly peersAccepted: number
  readonly peersOpen: number
  /** Devices whose packets this host forwards, so that answers would reach the clients. */
  readonly forwarding: readonly string[]
}

/** Where it captures and listens, for the hints. */
export interface InterceptPlaces {
  /** As in `eth0`. */
  readonly devices: string
  readonly filter: string
  readonly port: number
}

export class InterceptWatch {
  readonly #places: InterceptPlaces
  readonly #unanswered: Condition
  readonly #unwanted: Condition
  readonly #forwarding: Condition
  readonly #losing: Condition
  readonly #captured = new Growth()
  readonly #lost = new Growth()
  #announced = 0
  #accepted = 0
  #acceptedAt = Number.NEGATIVE_INFINITY
  /** When the first client was announced since the last answer; NaN: none. */
  #waitsSince = Number.NaN

  constructor(places: InterceptPlaces, notices: Notices) {
    this.#places = places
    this.#unanswered = new Condition(notices, {
      message: 'tcpcopy announces clients, but no answers of the target arrive',
      overMessage: 'answers of the target arrive'
    })
    this.#unwanted = new Condition(notices, {
      message: 'answers of the target arrive, but no tcpcopy is connected',
      overMessage: 'a tcpcopy is connected',
      afterMs: PATIENCE_MS
    })
    this.#forwarding = new Condition(notices, {
      message: "this host now forwards packets, so the target's answers reach the real clients",
      overMessage: 'this host forwards no packets any more'
    })
    this.#losing = new Condition(notices, {
      message: 'answers were lost in capture, so copies stall until the target repeats them',
      overMessage: 'no answers are lost in capture any more',
      overAfterMs: LOST_OVER_MS
    })
  }

  /** Call it once a second. */
  check(reading: InterceptReading, now: number): void {
    this.#captured.see(reading.capturedPackets, this.#unwanted.holds)
    this.#checkAnswers(reading, now)
    const { peersOpen, forwarding, captureDropped } = reading
    this.#unwanted.update(peersOpen > 0 ? false : this.#captured.isGrowing || undefined, now, () => ({
      packets: this.#captured.total,
      hint:
        `They are dropped. Start tcpcopy with -s for this host, and let it reach port ${this.#places.port}. If no copy is ` +
        'to run, remove the route on the target that leads here: its real clients may get no answers.'
    }))
    this.#forwarding.update(forwarding.length > 0, now, () => ({
      devices: forwarding.join(', '),
      hint:
        'Something turned it on after the start; container software does. Turn it off: sysctl -w net.ipv4.ip_forward=0 ' +
        '(IPv6: net.ipv6.conf.all.forwarding=0), or restart intercept with --manage-rules.'
    }))
    this.#lost.see(captureDropped, this.#losing.holds)
    this.#losing.update(this.#lost.isGrowing ? true : undefined, now, () => ({
      lost: this.#lost.total,
      hint: 'Enlarge the ring (-B), narrow the filter (-F), name the device (-i), or add threads (--workers).'
    }))
  }

  #checkAnswers({ routesAnnounced, routes, peersAccepted }: InterceptReading, now: number): void {
    if (peersAccepted > this.#accepted) this.#acceptedAt = now
    this.#accepted = peersAccepted
    const isNew = routesAnnounced > this.#announced && now - this.#acceptedAt >= RECONNECT_MS
    this.#announced = routesAnnounced
    if (this.#captured.isGrowing) this.#waitsSince = Number.NaN
    else if (isNew && Number.isNaN(this.#waitsSince)) this.#waitsSince = now
    const isWaiting = now - this.#waitsSince >= PATIENCE_MS
    const { devices, filter } = this.#places
    this.#unanswered.update(this.#captured.isGrowing ? false : isWaiting || undefined, now, () => ({
      routes,
      hint:
        `Nothing that matches ${filter === '' ? 'the queue' : `"${filter}"`} arrives on ${devices}. On this host: ` +
        `tcpdump -nni any ${filter}; on the target: ip route get CLIENT-ADDRESS (must lead here).`
    }))
  }
}
