/** The command line of `tcpcopy record`, and the plan made from it. */
import type { Command } from 'commander'
import { OperatorError } from '../../errors.ts'
import type { FilterTarget } from '../../io/linux/capture/filter-code.ts'
import { parseAddress } from '../../wire/address.ts'
import { addressBook, isIpv6 } from '../../wire/address-book.ts'
import { addProcessOptions, newCommand, type ProcessOptions } from '../options/command.ts'
import { collect } from '../options/config.ts'
import { type Example, Group, layOut } from '../options/help.ts'
import { badValue, listOf, seconds, wholeNumber, withoutBrackets } from '../options/values.ts'
import { addCaptureOptions, type CaptureOptions, type CapturePlan, capturePlan, inputOf } from './capture-plan.ts'

const MEGABYTE = 1 << 20

export interface RecordCommandOptions extends ProcessOptions, CaptureOptions {
  readonly map?: readonly string[]
  readonly output?: string
  readonly rotateSize?: string
  readonly rotateTime?: string
}

/** How to record; plain data for the worker. */
export interface RecordPlan {
  /** The IPv6 addresses that the plan names, for the worker's address book. */
  readonly addressBook: Uint8Array
  /** Servers by IP version; one without an address is in both lists. */
  readonly ipv4: readonly FilterTarget[]
  readonly ipv6: readonly FilterTarget[]
  readonly path: string
  readonly capture: CapturePlan
  readonly fileBytesMax: number
  readonly fileMsMax: number
}

const EXAMPLES: readonly Example[] = [
  { what: 'Record the clients of port 6379 until Ctrl-C', command: 'tcpcopy record -x 6379 -o requests.pcapng' },
  {
    what: 'Start another file every hour: requests-00001.pcapng and so on',
    command: 'tcpcopy record -x 80 -o requests.pcapng --rotate-time 3600'
  },
  {
    what: 'Record from a mirror port, in the background',
    command: 'tcpcopy record -x 10.77.0.1:80 -i eth1 -o requests.pcapng -d -l record.log'
  }
]

export function recordCommand(): Command {
  const summary = "Records clients' packets to a file that tcpcopy -i replays."
  const command = newCommand('tcpcopy record', summary, '-x <servers> -o <file> [options]')
    .optionsGroup(Group.Recording)
    .option('-x, --map <servers>', 'Whose clients to record: [ip:]port; the -x of tcpcopy works too', collect)
  const devices = 'Capture on these devices (default: traffic to this host, on any device)'
  addCaptureOptions(command, devices, 'Only packets that match, see pcap-filter(7)')
    .optionsGroup(Group.Output)
    .option('-o, --output <file>', 'File to write (pcapng); overwritten if it exists')
    .option('--rotate-size <MB>', 'Start another file at this size')
    .option('--rotate-time <sec>', 'Start another file after this time')
  // Words of a filter that was not quoted.
  command.argument('[word...]')
  const notes = ['Replay it with tcpcopy -i <file>; see tcpcopy help replay.']
  return layOut(addProcessOptions(command), { examples: EXAMPLES, notes })
}

/** @throws OperatorError if the options are invalid or contradict each other */
export function recordPlan(options: RecordCommandOptions): RecordPlan {
  const servers = listOf(options.map ?? []).map(server)
  if (servers.length === 0) {
    const hint = 'Name the port whose clients to record, as in -x 80.'
    throw new OperatorError('missing-option', 'the option --map is missing', hint)
  }
  if (options.output === undefined) {
    throw new OperatorError(
      'missing-option',
      'the option --output is missing',
      'Name the file to write, as in -o requests.pcapng.'
    )
  }
  if (inputOf(options.device).path !== undefined) {
    throw new OperatorError(
      'contradiction',
      '-i names a file, but record captures live traffic',
      'Name a network device.'
    )
  }
  const { rotateSize, rotateTime } = options
  return {
    // `server` has added the servers' addresses.
    addressBook: addressBook.snapshot(),
    ipv4: servers.filter(({ address }) => !isIpv6(address)),
    ipv6: servers.filter(({ address }) => address === 0 || isIpv6(address)),
    path: options.output,
    capture: capturePlan(options),
    fileBytesMax:
      rotateSize === undefined
        ? Number.POSITIVE_INFINITY
        : wholeNumber('--rotate-size', rotateSize, 1, 1 << 20) * MEGABYTE,
    fileMsMax: rotateTime === undefined ? Number.POSITIVE_INFINITY : seconds('--rotate-time', rotateTime, 1, 604_800)
  }
}

function server(text: string): FilterTarget {
  const [, addressText, port = ''] = /^(?:(\[[^\]]+\]|[^:[\]-]+):)?(\d+)(?:-.*)?$/.exec(text) ?? []
  const address = addressText === undefined ? 0 : parseAddress(withoutBrackets(addressText))
  if (port === '' || address === undefined)
    throw badValue('--map', text, '[sourceIP:]sourcePort, as in 80 or [2001:db8::1]:80')
  return { address, port: wholeNumber(`--map ${text}: port`, port, 1, 65_535) }
}
