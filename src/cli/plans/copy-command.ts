/** tcpcopy's command line: its options and their help. */
import type { Command } from 'commander'
import {
  addFirewallOptions,
  addProcessOptions,
  type FirewallOptions,
  newCommand,
  type ProcessOptions
} from '../options/command.ts'
import { collect } from '../options/config.ts'
import { type Example, Group, LISTS, layOut } from '../options/help.ts'
import { addCaptureOptions } from './capture-plan.ts'
import { addBuildOptions, addChannelOptions, type ChannelTexts } from './channel-plan.ts'
import { addReplayOptions, type ReplayOptions } from './replay-plan.ts'

export interface CopyOptions extends ProcessOptions, FirewallOptions, ChannelTexts, ReplayOptions {
  readonly map?: readonly string[]
  readonly intercept?: readonly string[]
  readonly clientAddresses?: readonly string[]
  readonly loopbackAddress?: readonly string[]
  readonly copies: string
  readonly portShift: string
  readonly mss?: string
  readonly percentage: string
  readonly onlyNew?: boolean
  readonly join: string
  readonly halfOpen: string
  readonly sessions: string
  readonly rampUp?: boolean
  readonly port: string
  readonly timeout: string
  readonly keepAlive?: string
  readonly memory: string
  readonly mtu?: string
  readonly connections: string
  readonly rtt?: string
  readonly wait: boolean
  readonly epochTimeout: string
  readonly holeTimeout?: string
  readonly holeTimeoutAtEnd: string
  readonly holeTimeoutAfterDrops?: string
  readonly send: string
  readonly outputDevice?: string
  readonly maxRate?: string
  readonly acks: string
  readonly workers: string
  readonly trace?: string
  readonly udp?: boolean
}

const USAGE = `-x <maps> -s <hosts> [options]
       tcpcopy -i <file> -x <maps> -s <hosts> [options]
       tcpcopy record -x <servers> -o <file> [options]
       tcpcopy help live|replay|record`

const EXAMPLES: readonly Example[] = [
  {
    what: 'Copy port 6379 of this host to 10.77.0.2; intercept runs on 10.77.0.3',
    command: 'tcpcopy -x 6379-10.77.0.2:6379 -s 10.77.0.3'
  },
  {
    what: 'Copy 10 % of the connections, from client addresses that nobody owns',
    command: 'tcpcopy -x 80-10.77.0.2:8080 -s 10.77.0.3 -r 10 -c 10.99.0.0/24'
  },
  {
    what: 'Replay a file twice as fast as it was recorded',
    command: 'tcpcopy -i requests.pcapng -x 80-10.77.0.2:8080 -s 10.77.0.3 -a 2'
  }
]

const NOTES = [
  LISTS,
  'The form before tcpcopy 1.0 works too: tcpcopy sourceIP[:sourceIP...] sourcePort targetIP targetPort.',
  'Details: docs/configuration.md.'
]

export function copyCommand(): Command {
  const command = newCommand('tcpcopy', 'Copies live TCP connections, or UDP datagrams, to a server under test.', USAGE)
    .optionsGroup(Group.What)
    .option(
      '-x, --map <maps>',
      'What to copy where, as in 80-10.0.0.2:8080; full form [ip:]port[@mac]-host:port[@mac]',
      collect
    )
    .option('-s, --intercept <hosts>', 'Where intercept runs, host[:port]', collect)
    .option('-p, --port <port>', 'Port of intercept', '36524')
    .option(
      '-c, --client-addresses <ips>',
      "Client addresses to use, as in 10.9.0.x or 10.9.0.0/24 (default: the clients' own)",
      collect
    )
    .option('-H, --loopback-address <ips>', 'Client address to use for 127.0.0.0/8, for ::1, or both', collect)
    .option('--udp', 'Copy UDP datagrams; needs no intercept')
    .optionsGroup(Group.Which)
    .option('-r, --percentage <percent>', 'Percent of connections to copy', '100')
    .option('-g, --ramp-up', 'Start with 1 %, add 1 % each second, up to -r')
    .option('-O, --only-new', 'Copy connections only from their SYN on, as --join never')
    .option('--join <when>', 'Where to join connections that are already open: answered, line, or never', 'answered')
    .option('--half-open <number>', 'Most copies of connections that are half-open at the source', '512')
    .option('-n, --copies <number>', 'Copies per connection, as in 3 or 1.3', '1')
    .option('-f, --port-shift <number>', 'Ports for the copies of -n: set a different number in each tcpcopy', '0')
    .optionsGroup(Group.Pace)
    .option('-W, --no-wait', "Send the next request without waiting for the target's answer to the last")
    .option('--epoch-timeout <sec>', 'Longest wait for that answer', '3')
    .option('-R, --rtt <ms>', 'Round-trip time of the clients; 0 acknowledges at once (default: as measured)')
    .option('--max-rate <bytes>', 'Bytes per second, as in 20M (default: no limit)')
    .optionsGroup(Group.Timeouts)
    .option('-t, --timeout <sec>', 'End a session that makes no progress', '600')
    .option('-k, --keep-alive <sec>', 'End an idle session (default: -t plus 120)')
    .option('--hole-timeout <sec>', 'Give up bytes that were not captured (default: 2, at least 4 round trips)')
    .option('--hole-timeout-at-end <sec>', "The same once the client's FIN or RST was captured", '1')
    .option('--hole-timeout-after-drops <sec>', 'The same if packets were lost in capture (default: 4 round trips)')
  const input = 'Capture on these devices, or replay this file (default: traffic to this host, on any device)'
  addCaptureOptions(command, input, 'Only packets that match, see pcap-filter(7)')
    .option('--capture <way>', 'ring (AF_PACKET) or ip (raw socket)', 'ring')
    .option('--acks <take|drop>', 'drop: ignore acknowledgments without payload, to save CPU time', 'take')
    .optionsGroup(Group.Sending)
    .option('--send <way>', 'link (AF_PACKET), xdp (AF_XDP), ip (raw socket), or auto: link, else ip', 'auto')
    .option('-o, --output-device <name>', 'Ethernet device to send through (default: by route)')
    .option('-M, --mtu <bytes>', 'Largest packet to send (default: the path MTU)')
    .option('-D, --mss <bytes>', 'Most payload and TCP options in a packet (default: MTU less 40, for IPv6 less 60)')
  addReplayOptions(command)
    .optionsGroup(Group.Channel)
    .option('-C, --connections <number>', 'Connections to each intercept', '2')
  addChannelOptions(command)
  addFirewallOptions(command, 'With --send ip, keep the copies out of connection tracking; undone on exit')
  addBuildOptions(command).option('-L, --lonely', 'Ignored').option('-U, --session-pool <KB>', 'Ignored')
  // Arguments without a description are not in the help: only old scripts use them.
  command
    .argument('[place...]')
    .optionsGroup(Group.Process)
    .option('-m, --memory <MB>', 'Most memory for captured payload', '256')
    .option('--sessions <number>', 'Most connections to copy at once, and to remember besides', '262144')
    .option('--workers <number>', 'Threads; auto: one per core', '1')
    .option('--trace <client>', 'Log every packet of this ip[:port], or of all')
  addProcessOptions(command)
  return layOut(command, { examples: EXAMPLES, notes: NOTES })
}
