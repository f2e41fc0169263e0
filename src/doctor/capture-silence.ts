/** Why nothing is captured: what is seen instead, and what to do. */

/** Packets of one kind, counted for a moment. */
export interface SeenTraffic {
  readonly device: string
  /** `in`: for this host; `out`: from it; `passing`: for another host. */
  readonly direction: 'in' | 'out' | 'passing'
  readonly to: string
  readonly toPort: number
  readonly from: string
  readonly fromPort: number
  readonly packets: number
}

/** A network namespace where a program listens on the port: one of its processes, which need not be the listener. */
export interface OtherListener {
  readonly pid: number
  /** Name of this process. */
  readonly program: string
}

/** A port of this host whose traffic goes to another port or address. */
export interface PublishedPort {
  readonly port: number
  /** As in `172.17.0.2:80`. */
  readonly to: string
  readonly toPort: number
}

/** What is known of a `-x` for which nothing is captured. */
export interface CaptureSilence {
  /** As in `*:80` or `10.0.0.1:80`. */
  readonly source: string
  readonly port: number
  /** For how long. */
  readonly seconds: number
  /** Programs of this namespace listen on the port; undefined: the source is another host. */
  readonly listens: boolean | undefined
  /** Connections of clients to the port. */
  readonly clients: number
  /** Data arrived on one of them meanwhile, so something must have been captured. */
  readonly receives: boolean
  /** `-i`; empty: what is for this host, on any device. */
  readonly devices: readonly string[]
  /** `-F` */
  readonly filter?: string | undefined
  readonly seen: readonly SeenTraffic[]
  readonly others: readonly OtherListener[]
  readonly published: readonly PublishedPort[]
}

/** Servers that are named, if nothing of the port is seen. */
const BUSIEST_MAX = 3

/** Whether it is no more than a service without clients. */
export function isIdle(silence: CaptureSilence): boolean {
  const { listens, receives, port, seen } = silence
  return listens === true && !receives && !seen.some((one) => one.direction !== 'out' && one.toPort === port)
}

/** What is seen instead of the port's traffic, most telling first. */
export function explainSilence(silence: CaptureSilence): readonly string[] {
  return [
    ...misdirected(silence),
    ...otherDirection(silence),
    ...elsewhere(silence),
    ...state(silence),
    ...busiest(silence)
  ]
}

/** Packets to the port that are not captured. */
function misdirected({ source, port, seen, filter, devices }: CaptureSilence): string[] {
  const toPort = seen.filter((one) => one.direction !== 'out' && one.toPort === port)
  const passing = toPort.filter(({ direction }) => direction === 'passing')
  const lines: string[] = []
  const wanted = source.startsWith('*:') ? undefined : source
  const wrong = toPort.find(({ to }) => wanted !== undefined && to !== wanted)
  if (wrong !== undefined)
    lines.push(`${wrong.device} carries traffic to ${wrong.to}, not ${source}. Check the address in -x`)
  else if (passing.length > 0 && devices.length === 0) {
    const [first] = passing
    lines.push(
      `${first?.device} carries traffic to ${first?.to} that is for another host. To copy mirrored traffic, name the device: ` +
        `-i ${first?.device}`
    )
  } else if (toPort.length > 0) {
    const [first] = toPort
    lines.push(
      filter === undefined
        ? `${first?.device} carries traffic to ${first?.to}, which is not for an address of this host, or of another IP ` +
            'version than the target. Name its address in -x, or give -x a target of its IP version'
        : `${first?.device} carries traffic to ${first?.to}, but nothing that matches -F ${filter}`
    )
  }
  return lines
}

/** Packets from the port alone. */
function otherDirection({ port, seen }: CaptureSilence): string[] {
  const hasRequests = seen.some((one) => one.direction !== 'out' && one.toPort === port)
  const answer = seen.find((one) => one.direction !== 'out' && one.fromPort === port)
  if (hasRequests || answer === undefined) return []
  return [
    `${answer.device} carries only the other direction: packets from ${answer.from}, none to it. Mirror what the source ` +
      'receives, or capture where requests arrive'
  ]
}

function elsewhere({ port, listens, others, published }: CaptureSilence): string[] {
  const lines = published.map(
    ({ port: outer, to }) => `port ${outer} of this host is published to ${to}. Copy what arrives there: -x ${outer}-…`
  )
  const [other] = others
  if (other !== undefined && listens !== true) {
    lines.push(
      `a program listens on port ${port} in another network namespace, that of process ${other.pid} (${other.program}). ` +
        `Start tcpcopy there: nsenter -t ${other.pid} -n tcpcopy …`
    )
  }
  return lines
}

function state({ port, listens, clients, receives }: CaptureSilence): string[] {
  if (listens === undefined) return []
  const connected = `${clients} ${clients === 1 ? 'client' : 'clients'} connected`
  if (receives)
    return [
      `data arrives on port ${port} (${connected}), so tcpcopy must see it. Check -F, and -x if it has an address`
    ]
  if (listens) return [`a program listens on port ${port} (${connected}), but nothing is sent`]
  return [`nothing listens on port ${port} of this host. Check the port in -x`]
}

/** The busiest servers, for a port or a device that is simply wrong. */
function busiest({ port, seen }: CaptureSilence): string[] {
  if (seen.some((one) => one.toPort === port || one.fromPort === port)) return []
  const incoming = seen.filter((one) => one.direction !== 'out' && one.toPort <= one.fromPort).slice(0, BUSIEST_MAX)
  if (incoming.length === 0) return []
  const named = incoming.map(({ device, to, packets }) => `${to} on ${device} (${packets} packets a second)`)
  return [`busiest instead: ${named.join(', ')}`]
}
