/** intercept's command line, and what follows from it. */
import type { Command } from 'commander'
import type { ChannelOptions } from '../daemon/negotiation.ts'
import { OperatorError } from '../errors.ts'
import { isForwarding, listDevices } from '../io/linux/devices.ts'
import { addChannelOptions, type ChannelTexts, readChannel } from './channel-plan.ts'
import { addProcessOptions, newCommand, type ProcessOptions } from './command.ts'
import { collect } from './config.ts'
import { resolveHost } from './resolve.ts'
import { listOf, wholeNumber } from './values.ts'

export interface InterceptOptions extends ProcessOptions, ChannelTexts {
  readonly device?: readonly string[]
  readonly filter?: string
  readonly port: string
  readonly bind?: string
  readonly delayTable: string
  readonly headers: string
  readonly buffer: string
  readonly allowForwarding?: boolean
}

/** Everything the worker needs, as plain data. */
export interface InterceptPlan {
  readonly channel: ChannelOptions
  /** None: any. */
  readonly devices: readonly string[]
  readonly filter: string
  readonly port: number
  /** To listen on; 0: every address. */
  readonly address: number
  readonly delayMax: number
  readonly recordsMax: number
  readonly ringMegabytes: number
}

export function interceptCommand(): Command {
  const command = newCommand(
    'intercept',
    "Returns the headers of the target's answers to tcpcopy, and drops the answers."
  )
    .option('-i, --device <name>', 'capture on these devices, … (default: any)', collect)
    .option('-F, --filter <expression>', 'what the answers are, pcap-filter(7): "tcp and src port 8080"')
    .option('-p, --port <port>', 'listen on this port for tcpcopy', '36524')
    .option('-b, --bind <address>', 'listen on this address only (default: every address)')
    .option('-s, --delay-table <number>', 'most headers that wait for their tcpcopy', '65536')
    .option('-n, --headers <number>', 'most headers in one message', '16')
    .option('-B, --buffer <MB>', 'size of the capture ring of each device', '16')
    .option('--allow-forwarding', 'start although this host forwards packets')
  return addProcessOptions(addChannelOptions(command))
}

/** @throws OperatorError for what cannot work */
export async function interceptPlan(options: InterceptOptions): Promise<InterceptPlan> {
  if (options.filter === undefined || options.filter.trim() === '') {
    const hint = 'Say which packets are answers of the target: -F "tcp and src port 8080".'
    throw new OperatorError('missing-option', 'no --filter is given', hint)
  }
  const devices = listOf(options.device ?? [])
  const isAny = devices.length === 0 || devices.includes('any')
  if (options.allowForwarding !== true) refuseForwarding(isAny ? listDevices() : devices)
  return {
    channel: readChannel(options),
    devices: isAny ? [] : devices,
    filter: options.filter,
    port: wholeNumber('--port', options.port, 1, 65_535),
    address: options.bind === undefined ? 0 : await resolveHost('--bind', options.bind),
    delayMax: wholeNumber('--delay-table', options.delayTable, 1, 1 << 20),
    recordsMax: wholeNumber('--headers', options.headers, 1, 16),
    ringMegabytes: wholeNumber('--buffer', options.buffer, 1, 4096)
  }
}

/** What is said at the start: anybody may ask for the answers' headers, or take routes away. */
export function openDoorWarnings({ channel, address }: InterceptPlan): readonly string[] {
  if (channel.secret !== undefined || address !== 0) return []
  return [
    'any host that reaches the port of --port may ask for the headers of answers\n' +
      '  Give both programs a --secret-file, or listen on one address only: --bind 10.0.0.3.'
  ]
}

/** An answer that is forwarded reaches the real client, whose host resets a connection it does not know. */
function refuseForwarding(devices: readonly string[]): void {
  const forwarding = devices.filter((device) => device !== 'lo' && isForwarding(device) === true)
  if (forwarding.length === 0) return
  const names = forwarding.join(', ')
  const hint =
    `Turn it off: ${forwarding.map((name) => `sysctl -w net.ipv4.conf.${name}.forwarding=0`).join('; ')}. ` +
    'If a firewall rule of this host drops the answers, start with --allow-forwarding.'
  const message = `this host forwards packets of ${names}: the target's answers would reach the real clients`
  throw new OperatorError('forwarding', message, hint)
}
