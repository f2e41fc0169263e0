/** The plan that tcpcopy's workers carry out, made from the options. */
import { JOIN_AT } from '../../core/selection/join-at.ts'
import type { CopyMap } from '../../core/selection/mapping.ts'
import { PORT_SHIFTS, PORTS_EACH } from '../../core/selection/ports-pool.ts'
import { type Selection, WHOLE } from '../../core/selection/sampling.ts'
import type { HolePatience } from '../../core/session/hole-watch.ts'
import { HIBERNATE_AFTER_MS } from '../../core/session/idle-policy.ts'
import type { InterceptAddress } from '../../daemon/channel/channel-client.ts'
import type { CopierSettings } from '../../daemon/copier/settings.ts'
import { OperatorError } from '../../errors.ts'
import { type Prefix, readLocalPrefixes } from '../../io/linux/netlink/local-addresses.ts'
import type { GivenNextHop } from '../../io/linux/send/next-hops.ts'
import { formatEndpoint, parseAddress } from '../../wire/address.ts'
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import { resolveHost } from '../options/resolve.ts'
import { parseTraceTarget, type TraceTarget } from '../options/trace-target.ts'
import {
  addressRange,
  badValue,
  decimal,
  hostAndPort,
  listOf,
  mapText,
  octets,
  oneOf,
  seconds,
  wholeNumber
} from '../options/values.ts'
import { COPY_WORKERS_MAX, readWorkers, SINGLE_ALONE } from '../options/workers-option.ts'
import { type CapturePlan, capturePlan, refuseIpv6ByIp } from './capture-plan.ts'
import { readChannel } from './channel-plan.ts'
import { isIn, rangesWithout } from './client-ranges.ts'
import type { CopyOptions } from './copy-command.ts'
import { givenNextHop } from './output-plan.ts'
import { type ReplayPlan, replayPlan } from './replay-plan.ts'

const MEGABYTE = 1 << 20
/** Default of `-k`: this much longer than `-t`. */
const KEEP_ALIVE_EXTRA_MS = 120_000
const MAPS_MAX = 32
const INTERCEPTS_MAX = 32
const CONNECTIONS_MAX = 11
const SESSIONS_MOST = 1 << 24
const HALF_OPEN_MOST = 65_536
/** Frames of one system call, about. */
const FRAMES_MAX = 1024
const COPIES_MAX = 1023
/** Lowest useful rate for a worker, in bytes per second. */
const RATE_LEAST = 10_000
/** tcpcopy warns at the start if fewer connections than this fit at once. */
const CONNECTIONS_FEW = 1000

/** How packets are sent: link layer, AF_XDP or raw socket; `auto` prefers the link layer. */
const SEND_BY = ['auto', 'link', 'xdp', 'ip'] as const
type SendBy = (typeof SEND_BY)[number]

/** Everything the worker needs, as plain data. */
export interface CopyPlan {
  readonly settings: CopierSettings
  /** For the worker's book: the addresses of IPv6 that the plan names. */
  readonly addressBook: Uint8Array
  readonly capture: CapturePlan
  readonly sendBy: SendBy
  readonly nextHop: GivenNextHop
  readonly workers: number
  readonly trace: TraceTarget | undefined
  /** Copy datagrams instead of connections. */
  readonly isUdp: boolean
  /** Undefined for live traffic. */
  readonly replay: ReplayPlan | undefined
}

/** @returns what only one thread can read, see `readWorkers` */
function doneAlone(
  { single }: CopyOptions,
  replay: ReplayPlan | undefined,
  capture: CapturePlan,
  maps: readonly CopyMap[]
): string | undefined {
  if (replay !== undefined) return 'a file'
  if (capture.by === 'ip') return 'the raw socket of --capture ip'
  if (capture.devices.length > 0) return 'the frames of -i'
  if (maps.some(({ targetAddress }) => isIpv6(targetAddress))) return 'IPv6'
  return single === true ? SINGLE_ALONE : undefined
}

/** @throws OperatorError if the options are invalid or contradict each other */
export async function copyPlan(options: CopyOptions): Promise<CopyPlan> {
  if (options.udp === true) refuseForUdp(options)
  const timeoutMs = seconds('--timeout', options.timeout, 1, 86_400)
  const keepAlive = options.keepAlive
  const replay = replayPlan(options)
  const capture = capturePlan(options)
  const texts = listOf(options.map ?? [])
  const maps = await readMaps(texts)
  const own = readLocalPrefixes()
  if (replay === undefined) refuseLoops(maps, own)
  refuseIpv6ByIp(capture, maps)
  const workers = readWorkers(options.workers, COPY_WORKERS_MAX, doneAlone(options, replay, capture, maps))
  const keepAliveMs =
    keepAlive === undefined ? timeoutMs + KEEP_ALIVE_EXTRA_MS : seconds('--keep-alive', keepAlive, 1, 604_800)
  const sendBy = oneOf('--send', options.send, SEND_BY)
  const intercepts = options.udp === true ? [] : await readIntercepts(options)
  const taken = [...maps.map((map) => map.targetAddress), ...intercepts.map(({ address }) => address)]
  const ranges = rangesWithout(listOf(options.clientAddresses ?? []).map(addressRange), own, taken)
  const settings: CopierSettings = {
    selection: {
      maps,
      ranges,
      loopbackAddresses: loopbackAddresses(options.loopbackAddress),
      sampling: readSampling(options),
      joinAt: oneOf('--join', options.join, JOIN_AT),
      portShift: wholeNumber('--port-shift', options.portShift, 0, PORT_SHIFTS - 1),
      isLive: replay === undefined
    },
    session: {
      timeoutMs,
      keepAliveMs,
      hibernateAfterMs: HIBERNATE_AFTER_MS,
      roundTripMs: options.rtt === undefined ? undefined : wholeNumber('--rtt', options.rtt, 0, 60_000),
      isWithoutAcks: oneOf('--acks', options.acks, ['take', 'drop']) === 'drop',
      gate: { isWaiting: options.wait, timeoutMs: seconds('--epoch-timeout', options.epochTimeout, 0.001, 3600) },
      holes: readHoles(options)
    },
    limits: {
      poolBytes: wholeNumber('--memory', options.memory, workers, 65_536) * MEGABYTE,
      sessionsMax: wholeNumber('--sessions', options.sessions, workers, SESSIONS_MOST),
      halfOpenMax: wholeNumber('--half-open', options.halfOpen, workers, HALF_OPEN_MOST),
      bytesPerSecondMax:
        options.maxRate === undefined
          ? Number.POSITIVE_INFINITY
          : octets('--max-rate', options.maxRate, workers * RATE_LEAST, 1e11),
      framesMax: FRAMES_MAX
    },
    packets: {
      mtuBytes: options.mtu === undefined ? undefined : wholeNumber('--mtu', options.mtu, 576, 65_535),
      mssBytes: options.mss === undefined ? undefined : wholeNumber('--mss', options.mss, 536, 65_495)
    },
    channel: {
      intercepts,
      connectionsEach: wholeNumber('--connections', options.connections, 1, CONNECTIONS_MAX),
      options: readChannel(options)
    }
  }
  const plan = {
    settings,
    capture,
    sendBy,
    nextHop: givenNextHop(options.outputDevice, texts, maps, sendBy === 'ip'),
    trace: options.trace === undefined ? undefined : parseTraceTarget(options.trace),
    isUdp: options.udp === true,
    workers,
    replay
  }
  return { ...plan, addressBook: addressBook.snapshot() }
}

/** Refuses options that apply to connections only. */
function refuseForUdp(options: CopyOptions): void {
  const ofConnections = {
    '--intercept': options.intercept,
    '--only-new': options.onlyNew,
    '--mss': options.mss,
    '--rtt': options.rtt,
    '--trace': options.trace,
    '--manage-rules': options.manageRules,
    '--keep-alive': options.keepAlive,
    '--max-rate': options.maxRate,
    '--device with a file': replayPlan(options),
    '--single': options.single,
    '--disable-combined': options.disableCombined,
    '--with-resp-payload': options.withRespPayload
  }
  const [found] = Object.entries(ofConnections).find(([, value]) => value !== undefined) ?? []
  if (found === undefined) return
  const hint = 'Remove one of the two: datagrams have no connections, and tcpcopy does not wait for their answers.'
  throw new OperatorError('contradiction', `${found} cannot be used with --udp`, hint)
}

async function readMaps(texts: readonly string[]): Promise<CopyMap[]> {
  if (texts.length === 0) {
    const hint = 'Set what to copy and where to: -x 80-10.0.0.2:8080 copies port 80 to port 8080 of 10.0.0.2.'
    throw new OperatorError('missing-option', 'the option --map is missing', hint)
  }
  if (texts.length > MAPS_MAX) throw badValue('--map', `${texts.length} maps`, `at most ${MAPS_MAX}`)
  const maps: CopyMap[] = []
  for (const text of texts) {
    const { targetHost, ...map } = mapText(text)
    maps.push({ ...map, targetAddress: await resolveHost(`--map ${text}`, targetHost) })
  }
  for (const [index, map] of maps.entries()) {
    const twin = maps.slice(0, index).find((other) => isSameSource(other, map) && isSameTarget(other, map))
    if (twin !== undefined) {
      const what = `${texts[maps.indexOf(twin)]} and ${texts[index]}`
      const hint = 'Remove one; to copy each connection twice, use -n 2.'
      throw new OperatorError('contradiction', `--map copies the same connections twice to one target: ${what}`, hint)
    }
    refuseOtherVersion(texts[index] ?? '', map)
  }
  return maps.map(({ sourceAddress, sourcePort, targetAddress, targetPort }) => ({
    sourceAddress,
    sourcePort,
    targetAddress,
    targetPort
  }))
}

function isSameSource(a: CopyMap, b: CopyMap): boolean {
  // Without an address a map covers all addresses of its target's IP version.
  const isAnyOf = (any: CopyMap, one: CopyMap): boolean =>
    any.sourceAddress === 0 && isIpv6(any.targetAddress) === isIpv6(one.targetAddress)
  const isSameAddress =
    a.sourceAddress === b.sourceAddress ? isAnyOf(a, b) || a.sourceAddress !== 0 : isAnyOf(a, b) || isAnyOf(b, a)
  return a.sourcePort === b.sourcePort && isSameAddress
}

function isSameTarget(a: CopyMap, b: CopyMap): boolean {
  return a.targetAddress === b.targetAddress && a.targetPort === b.targetPort
}

/** Source and target must have the same IP version: the client has no address of the other one. */
function refuseOtherVersion(text: string, { sourceAddress, targetAddress }: CopyMap): void {
  if (sourceAddress === 0 || isIpv6(sourceAddress) === isIpv6(targetAddress)) return
  const hint = 'Use IPv4 addresses for both source and target, or IPv6 addresses for both.'
  throw new OperatorError('contradiction', `--map ${text} mixes IPv4 and IPv6`, hint)
}

/** Refuses a target on this host that is itself copied: its copies would be copied again, endlessly. */
function refuseLoops(maps: readonly CopyMap[], own: readonly Prefix[]): void {
  for (const map of maps) {
    if (!own.some((prefix) => isIn(map.targetAddress, prefix))) continue
    const target = { ...map, sourceAddress: map.targetAddress, sourcePort: map.targetPort }
    if (!maps.some((other) => isSameSource(other, target))) continue
    const where = formatEndpoint(map.targetAddress, map.targetPort)
    const what = `--map copies to ${where}, which is itself copied: this would be a loop`
    throw new OperatorError('contradiction', what, 'Choose a target on another host or port.')
  }
}

async function readIntercepts(options: CopyOptions): Promise<InterceptAddress[]> {
  const port = wholeNumber('--port', options.port, 1, 65_535)
  const texts = listOf(options.intercept ?? [])
  if (texts.length === 0) {
    const hint = 'Name the host that runs intercept: -s 10.0.0.3.'
    throw new OperatorError('missing-option', 'the option --intercept is missing', hint)
  }
  if (texts.length > INTERCEPTS_MAX) throw badValue('--intercept', `${texts.length} hosts`, `at most ${INTERCEPTS_MAX}`)
  return Promise.all(
    texts.map(async (text) => {
      const { host, port: portGiven } = hostAndPort('--intercept', text, port)
      return { address: await resolveHost('--intercept', host), port: portGiven }
    })
  )
}

function readHoles({ holeTimeout, holeTimeoutAtEnd, holeTimeoutAfterDrops }: CopyOptions): HolePatience {
  const patience = (option: string, value: string): number => seconds(option, value, 0, 3600)
  return {
    timeoutMs: holeTimeout === undefined ? undefined : patience('--hole-timeout', holeTimeout),
    atEndMs: patience('--hole-timeout-at-end', holeTimeoutAtEnd),
    afterDropsMs:
      holeTimeoutAfterDrops === undefined ? undefined : patience('--hole-timeout-after-drops', holeTimeoutAfterDrops)
  }
}

function readSampling(options: CopyOptions): Selection {
  return {
    share: decimal('--percentage', options.percentage, 1, 100, 'percent'),
    isOnlyNew: options.onlyNew === true || options.join === 'never',
    isRampUp: options.rampUp === true,
    // From ten thousandths to millionths.
    copies: decimal('--copies', options.copies, 1, COPIES_MAX, 'a number') * 100
  }
}

function loopbackAddresses(texts: readonly string[] | undefined): readonly number[] {
  const expected = 'an IPv4 address, an IPv6 address, or one of each, as in 10.0.0.9,2001:db8::9'
  const addresses = listOf(texts ?? []).map((text) => {
    const address = parseAddress(text)
    if (address === undefined) throw badValue('--loopback-address', text, expected)
    return address
  })
  const isTwice = [true, false].some((of6) => addresses.filter((address) => isIpv6(address) === of6).length > 1)
  if (isTwice) throw badValue('--loopback-address', (texts ?? []).join(','), expected)
  return addresses
}

/** What is said at the start when the copies of -n leave room for few connections. */
export function copiesWarnings({ settings }: CopyPlan): readonly string[] {
  const { selection, limits } = settings
  const copies = selection.sampling.copies / WHOLE
  if (copies === 1) return []
  const addresses = selection.ranges.reduce((total, range) => total + range.count, 0)
  const byPorts = Math.floor((Math.max(1, addresses) * PORTS_EACH) / copies)
  const byTable = Math.floor(limits.sessionsMax / copies)
  if (byPorts >= CONNECTIONS_FEW && byTable >= CONNECTIONS_FEW) return []
  const pool = addresses === 0 ? 'each client address has' : `the ${addresses} addresses of --client-addresses have`
  const ports = (Math.max(1, addresses) * PORTS_EACH).toLocaleString('en')
  const hint = byPorts < CONNECTIONS_FEW ? 'Use more client addresses, as in -c 10.99.0.0/16.' : 'Raise --sessions.'
  const what = `--copies ${copies}: ${pool} ${ports} ports, enough for ${byPorts} connections at once with all their copies`
  const table = `; tcpcopy holds ${limits.sessionsMax.toLocaleString('en')} sessions, enough for ${byTable}`
  return [
    `${what}${byTable < CONNECTIONS_FEW ? table : ''}\n  ${hint} Copies without a free port are not made, and counted as noFreePort.`
  ]
}
