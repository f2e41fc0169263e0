/** intercept's command line, and the plan made from it. */
import type { Command } from 'commander'
import type { Translation } from '../../core/assistant/address-translation.ts'
import { ROUTES_MAX } from '../../core/assistant/router.ts'
import type { ChannelOptions } from '../../daemon/channel/negotiation.ts'
import { OperatorError } from '../../errors.ts'
import { hasIpv6, isForwarding, listDevices } from '../../io/linux/netlink/devices.ts'
import { parseAddress } from '../../wire/address.ts'
import { addressBook } from '../../wire/address-book.ts'
import { iptablesByHand, type RuleSet } from '../firewall/rules.ts'
import {
  addFirewallOptions,
  addProcessOptions,
  type FirewallOptions,
  newCommand,
  type ProcessOptions
} from '../options/command.ts'
import { collect } from '../options/config.ts'
import { type Example, Group, LISTS, layOut } from '../options/help.ts'
import { resolveHost } from '../options/resolve.ts'
import { badValue, listOf, translation, wholeNumber } from '../options/values.ts'
import { INTERCEPT_WORKERS_MAX, readWorkers, SINGLE_ALONE } from '../options/workers-option.ts'
import { answerPlaces } from './answer-filter.ts'
import { addBuildOptions, addChannelOptions, type ChannelTexts, readChannel } from './channel-plan.ts'

/** In packets: what a fast target sends in 0.2 s. */
const QUEUE_LENGTH = '16384'

export interface InterceptOptions extends ProcessOptions, FirewallOptions, ChannelTexts {
  readonly device?: readonly string[]
  readonly filter?: string
  readonly port: string
  readonly bind?: string
  readonly delayTable: string
  readonly routes: string
  readonly headers: string
  readonly buffer: string
  readonly workers: string
  readonly allowForwarding?: boolean
  readonly nfqueue?: boolean
  readonly queueLength?: string
  readonly queueNumber?: string
  readonly queueBypass?: boolean
  readonly pass?: readonly string[]
  readonly translate?: readonly string[]
  readonly keepFirst?: boolean
}

/** Everything the worker needs, as plain data. */
export interface InterceptPlan {
  readonly channel: ChannelOptions
  /** The IPv6 addresses that the plan names, for the worker's address book. */
  readonly addressBook: Uint8Array
  /** Empty: all devices. */
  readonly devices: readonly string[]
  /** Nothing but the setting of this host keeps the answers from the clients. */
  readonly mustNotForward: boolean
  readonly filter: string
  readonly port: number
  /** Address to listen on; 0: every address. */
  readonly address: number
  readonly delayMax: number
  readonly routesMax: number
  readonly recordsMax: number
  readonly keepsFirst: boolean
  readonly ringMegabytes: number
  readonly workers: number
  /** `--nfqueue`: read answers from this queue instead of a ring. */
  readonly queue: QueuePlan | undefined
  /** Address translations (NAT) to undo in the answers. */
  readonly translations: readonly Translation[]
}

interface QueuePlan {
  readonly queue: number
  readonly lengthMax: number
  /** Clients whose answers pass to them. */
  readonly passed: readonly number[]
}

const EXAMPLES: readonly Example[] = [
  {
    what: 'Return the answers of the target 10.77.0.2, port 6379',
    command: "intercept -i eth0 -F 'tcp and src host 10.77.0.2 and src port 6379'"
  },
  {
    what: 'The same on a host that forwards packets; a firewall rule drops the answers',
    command: "intercept -F 'tcp and src host 10.77.0.2 and src port 6379' --manage-rules"
  },
  {
    what: 'Run on the target itself, for the server on port 6379',
    command: "intercept --nfqueue --manage-rules -F 'tcp and src port 6379'"
  }
]

export function interceptCommand(): Command {
  const summary = "Returns the headers of the target's answers to tcpcopy, and drops the answers."
  const usage = '-F <expression> [options]\n       intercept --nfqueue [options]'
  const command = newCommand('intercept', summary, usage)
    .optionsGroup(Group.Capture)
    .option('-F, --filter <expression>', "Which packets are the target's answers, see pcap-filter(7)")
    .option('-i, --device <names>', 'Capture on these devices (default: any)', collect)
    .option('-B, --buffer <MB>', 'Capture ring size per device', '16')
    .option('-D, --translate <pairs>', 'Undo NAT: newIP[:port]-originalIP[:port]', collect)
    .optionsGroup(Group.Queue)
    .option('--nfqueue', 'Take the answers from a firewall queue (NFQUEUE), and drop them there')
    .option('-x, --pass <ips>', 'Let the answers to these clients pass', collect)
    .option('-q, --queue-length <number>', `Most answers in the queue (default: ${QUEUE_LENGTH})`)
    .option('--queue-number <number>', 'Which queue (default: 0)')
    .option('--queue-bypass', 'With --manage-rules: let answers pass while intercept is not running')
    .optionsGroup(Group.Channel)
    .option('-p, --port <port>', 'Listen on this port', '36524')
    .option('-b, --bind <ip>', 'Listen on this address (default: all addresses)')
    .option('-s, --delay-table <number>', 'Most headers that wait for a tcpcopy to announce their client', '65536')
    .option('--routes <number>', 'Most connections of all tcpcopy to return answers for', `${ROUTES_MAX}`)
    .option('-n, --headers <number>', 'Most headers per message of version 1', '16')
  addChannelOptions(command)
  addFirewallOptions(command, 'Install the rule for the answers of -F; undone on exit')
  command.option('--allow-forwarding', 'Start on a host that forwards packets; your own rule must drop the answers')
  addBuildOptions(command).option('-c, --keep-first', 'With --single: keep the first tcpcopy, refuse others')
  // Words of a filter that was not quoted. Arguments without a description are not in the help.
  command.argument('[word...]')
  command.optionsGroup(Group.Process).option('--workers <number>', 'Threads; auto: one per core', '1')
  const notes = [LISTS]
  return layOut(addProcessOptions(command), { examples: EXAMPLES, notes })
}

/** @throws OperatorError if the options are invalid or contradict each other */
export async function interceptPlan(options: InterceptOptions): Promise<InterceptPlan> {
  refuseContradictions(options)
  const isQueue = options.nfqueue === true
  const hasFilter = options.filter !== undefined && options.filter.trim() !== ''
  if (!hasFilter && (!isQueue || options.manageRules === true)) {
    const hint =
      "Name the target of tcpcopy's -x and the device where its answers arrive, as in " +
      "intercept -i eth0 -F 'tcp and src host 10.0.0.2 and src port 8080'."
    throw new OperatorError('missing-option', 'the option --filter is missing', hint)
  }
  const devices = listOf(options.device ?? [])
  const isAny = devices.length === 0 || devices.includes('any')
  // A firewall rule or queue that drops the answers makes this check unnecessary.
  const isKept = isQueue || options.manageRules === true || options.allowForwarding === true
  if (!isKept) refuseForwarding(isAny ? listDevices() : devices)
  const address = options.bind === undefined ? 0 : await resolveHost('--bind', options.bind)
  const plan = {
    channel: readChannel(options),
    devices: isAny ? [] : devices,
    mustNotForward: !isKept,
    filter: options.filter ?? '',
    port: wholeNumber('--port', options.port, 1, 65_535),
    address,
    delayMax: wholeNumber('--delay-table', options.delayTable, 1, 1 << 20),
    routesMax: wholeNumber('--routes', options.routes, 1024, 1 << 24),
    recordsMax: wholeNumber('--headers', options.headers, 1, 16),
    keepsFirst: options.keepFirst === true,
    ringMegabytes: wholeNumber('--buffer', options.buffer, 1, 4096),
    workers: readWorkers(options.workers, INTERCEPT_WORKERS_MAX, doneAlone(options)),
    queue: isQueue ? queuePlan(options) : undefined,
    translations: listOf(options.translate ?? []).map(translation)
  }
  return { ...plan, addressBook: addressBook.snapshot() }
}

/** @returns what only one thread can read, see `readWorkers` */
function doneAlone({ nfqueue, single }: InterceptOptions): string | undefined {
  if (nfqueue === true) return 'a queue of --nfqueue'
  return single === true ? SINGLE_ALONE : undefined
}

function queuePlan(options: InterceptOptions): QueuePlan {
  return {
    queue: wholeNumber('--queue-number', options.queueNumber ?? '0', 0, 65_535),
    lengthMax: wholeNumber('--queue-length', options.queueLength ?? QUEUE_LENGTH, 1, 1 << 20),
    passed: listOf(options.pass ?? []).map((text) => {
      const address = parseAddress(text)
      if (address === undefined) throw badValue('--pass', text, 'client addresses, as in 10.0.0.9,2001:db8::9')
      return address
    })
  }
}

/** Rules that keep the answers from the clients: into the queue on the target, dropped on the assistant. */
function answerRules(options: InterceptOptions, plan: InterceptPlan): readonly RuleSet[] {
  const { ipv4, ipv6 } = answerPlaces(plan.filter)
  const { mark, action } = ruleOf(options, plan)
  return ([4, 6] as const)
    .map((version) => ({ version, mark, action, places: version === 6 ? ipv6 : ipv4 }))
    .filter(({ version, places }) => places.length > 0 && (version === 4 || hasIpv6()))
}

function ruleOf({ queueBypass }: InterceptOptions, { queue, port }: InterceptPlan): Pick<RuleSet, 'mark' | 'action'> {
  if (queue === undefined) return { mark: `tcpcopy-intercept-port-${port}`, action: { kind: 'drop' } }
  const action = { kind: 'queue', queue: queue.queue, isBypass: queueBypass === true } as const
  return { mark: `tcpcopy-intercept-queue-${queue.queue}`, action }
}

/** The rules that `--manage-rules` installs. @throws OperatorError `bad-rule` */
export function interceptRules(options: InterceptOptions, plan: InterceptPlan): readonly RuleSet[] {
  return options.manageRules === true ? answerRules(options, plan) : []
}

/** Notes for the start without `--manage-rules`: which rule must exist. */
export function interceptNotes(options: InterceptOptions, plan: InterceptPlan): readonly string[] {
  if (plan.queue === undefined || options.manageRules === true) return []
  const rule = iptablesByHand({ version: 4, ...ruleOf(options, plan), places: [{ address: 0, port: 80 }] })
  return [
    `answers are read from queue ${plan.queue.queue}; a firewall rule must send them there\n` +
      `  For a server on port 80: ${rule}. For IPv6, use ip6tables.`
  ]
}

/** Refuses options that require another option, or exclude it. */
function refuseContradictions(options: InterceptOptions): void {
  const ofQueue = ['queueLength', 'queueNumber', 'queueBypass', 'pass'] as const
  const names = { queueLength: '-q', queueNumber: '--queue-number', queueBypass: '--queue-bypass', pass: '-x' }
  const found = ofQueue.find((name) => options[name] !== undefined)
  if (found !== undefined && options.nfqueue !== true) {
    const hint = `Add --nfqueue to run on the target itself, or remove ${names[found]}.`
    throw new OperatorError('contradiction', `${names[found]} requires --nfqueue`, hint)
  }
  if (options.keepFirst === true && options.single !== true) {
    const hint = 'Add --single, or remove -c: without --single any number of tcpcopy may connect.'
    throw new OperatorError('contradiction', '-c requires --single', hint)
  }
  if (options.nfqueue === true && options.filter !== undefined && options.manageRules !== true) {
    const hint = 'Remove --filter, or add --manage-rules to install the firewall rule for it.'
    throw new OperatorError(
      'contradiction',
      '--filter has no effect with --nfqueue unless --manage-rules is given',
      hint
    )
  }
  if (options.nfqueue === true && options.device !== undefined) {
    const hint = 'Remove --device: the firewall rule selects the packets for the queue.'
    throw new OperatorError('contradiction', '--device cannot be used with --nfqueue', hint)
  }
}

/** Warnings for the start: without a secret, any host can get the answers' headers or take over routes. */
export function openDoorWarnings({ channel, address, port }: InterceptPlan): readonly string[] {
  if (channel.secret !== undefined || address !== 0) return []
  return [
    `any host that can reach port ${port} can connect and get the headers of the answers\n` +
      '  Give both programs the same --secret-file, or listen on one address only, as in --bind 10.0.0.3.'
  ]
}

/** The devices of a plan whose packets this host forwards, although it must not. Empty: any device. */
export function forwardingOf({ mustNotForward, devices }: InterceptPlan): readonly string[] {
  if (!mustNotForward) return []
  const names = devices.length === 0 ? listDevices() : devices
  const forwards = (name: string): boolean => isForwarding(name) === true || isForwarding(name, 'ipv6') === true
  return names.filter((name) => name !== 'lo' && forwards(name))
}

/**
 * Refuses to run on a host that forwards: the real clients would get the answers, and reset connections that they do
 * not know.
 */
function refuseForwarding(devices: readonly string[]): void {
  const forwarding = devices.filter((device) => device !== 'lo' && isForwarding(device) === true)
  const forwarding6 = devices.filter((device) => device !== 'lo' && isForwarding(device, 'ipv6') === true)
  if (forwarding.length === 0 && forwarding6.length === 0) return
  const names = [...new Set([...forwarding, ...forwarding6])].join(', ')
  const commands = [
    ...forwarding.map((name) => `sysctl -w net.ipv4.conf.${name}.forwarding=0`),
    ...forwarding6.map((name) => `sysctl -w net.ipv6.conf.${name}.forwarding=0`)
  ]
  const hint =
    `Turn forwarding off: ${commands.join('; ')}. ` +
    'Or drop the answers with a firewall rule: --manage-rules installs one; if you have one, use --allow-forwarding.'
  const message = `this host forwards packets of ${names}: the target's answers would reach the real clients`
  throw new OperatorError('forwarding', message, hint)
}
