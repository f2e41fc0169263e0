/** `tcpcopy help`: the options and examples that matter for one use of the program. */
import type { Command } from 'commander'
import { OperatorError } from '../errors.ts'
import { type HelpEnd, layOut, showOnly } from './options/help.ts'
import { copyCommand } from './plans/copy-command.ts'
import { recordCommand } from './plans/record-plan.ts'

/** One use of tcpcopy: its options, by their long names, and examples. */
export interface Topic extends HelpEnd {
  readonly name: string
  readonly title: string
  readonly usage: string
  readonly command: () => Command
  readonly options: readonly string[]
}

export const topics: readonly Topic[] = [
  {
    name: 'live',
    title: 'Copy live traffic to a server under test.',
    usage: '-x <maps> -s <hosts> [options]',
    command: copyCommand,
    options: [
      ...['--map', '--intercept', '--client-addresses', '--udp'],
      ...['--percentage', '--ramp-up', '--only-new', '--join', '--copies'],
      ...['--no-wait', '--rtt', '--max-rate'],
      ...['--device', '--filter', '--buffer'],
      ...['--memory', '--workers', '--secret-file'],
      ...['--config', '--daemon', '--pid-file', '--log', '--statistics-interval', '--trace']
    ],
    examples: [
      {
        what: 'On the assistant, first: return the answers of the target',
        command: "intercept -i eth0 -F 'tcp and src host 10.77.0.2 and src port 6379'"
      },
      {
        what: 'On the source: copy port 6379',
        command: 'tcpcopy -x 6379-10.77.0.2:6379 -s 10.77.0.3'
      },
      {
        what: 'Start with 1 % of the connections, go up to 50 %, in the background',
        command: 'tcpcopy -x 6379-10.77.0.2:6379 -s 10.77.0.3 -g -r 50 -d -l tcpcopy.log'
      },
      {
        what: 'Copy three times the load, from client addresses that nobody owns',
        command: 'tcpcopy -x 6379-10.77.0.2:6379 -s 10.77.0.3 -n 3 -c 10.99.0.0/16'
      },
      {
        what: 'Copy the traffic of 10.77.0.1, captured at a mirror port',
        command: 'tcpcopy -i eth1 -x 10.77.0.1:6379-10.77.0.2:6379 -s 10.77.0.3'
      }
    ],
    notes: [
      "Before the start, route the target's answers to the assistant. On the target: ip route add <clients> via <assistant>.",
      'Statistics: kill -USR2 <pid>.',
      'To stop, end tcpcopy first, then intercept, then remove the route.'
    ]
  },
  {
    name: 'replay',
    title: 'Replay a capture file to a server under test.',
    usage: '-i <file> -x <maps> -s <hosts> [options]',
    command: copyCommand,
    options: [
      ...['--map', '--intercept', '--client-addresses', '--percentage', '--copies', '--no-wait'],
      ...['--device', '--filter'],
      ...['--accelerate', '--interval', '--rounds', '--from', '--to', '--no-checksums'],
      ...['--memory', '--log', '--log-format']
    ],
    examples: [
      {
        what: 'Replay what clients sent to port 80, at its own pace',
        command: 'tcpcopy -i day.pcapng -x 80-10.77.0.2:80 -s 10.77.0.3'
      },
      {
        what: 'Ten times as fast, with pauses of at most 1000 ms, until stopped',
        command: 'tcpcopy -i day.pcapng -x 80-10.77.0.2:80 -s 10.77.0.3 -a 10 -I 1000 -T 0'
      },
      {
        what: 'Only the first 60 seconds, from standard input',
        command: 'tcpcopy -i - -x 80-10.77.0.2:80 -s 10.77.0.3 --to +60'
      }
    ],
    notes: [
      'The file is pcap or pcapng, also gzipped. A replay needs intercept and the route on the target just as live traffic does: see tcpcopy help live.',
      'Exit status: 0 all delivered, 1 nothing replayed, 2 not all delivered, 3 file damaged (replayed up to there).'
    ]
  },
  {
    name: 'record',
    title: "Record clients' packets to a file that can be replayed.",
    usage: '-x <servers> -o <file> [options]',
    command: recordCommand,
    options: [
      ...['--map', '--output', '--rotate-size', '--rotate-time'],
      ...['--device', '--filter', '--buffer', '--snap-length', '--daemon', '--log']
    ],
    examples: [
      { what: 'Record the clients of port 80 until Ctrl-C', command: 'tcpcopy record -x 80 -o day.pcapng' },
      {
        what: 'In the background, in files of up to 1000 MB',
        command: 'tcpcopy record -x 80 -o day.pcapng --rotate-size 1000 -d -l record.log'
      }
    ],
    notes: [
      'Rotated files are numbered and never deleted.',
      'All options: tcpcopy record -h. Next step: tcpcopy help replay.'
    ]
  }
]

/** The help for one topic, as a command. */
export function topicCommand(topic: Topic): Command {
  const command = topic.command().description(topic.title).usage(topic.usage)
  return showOnly(layOut(command, topic), topic.options)
}

/**
 * @param words what follows `help`
 * @returns the text to print
 * @throws OperatorError `bad-option`
 */
export function helpText(words: readonly string[]): string {
  const [name, ...rest] = words
  if (name === undefined || ['-h', '--help'].includes(name)) return topicList()
  const topic = topics.find((one) => one.name === name)
  if (topic !== undefined && rest.length === 0) return topicCommand(topic).helpInformation()
  const hint = `The topics are ${topics.map((one) => one.name).join(', ')}. All options: tcpcopy -h.`
  throw new OperatorError('bad-option', `there is no help topic "${words.join(' ')}"`, hint)
}

function topicList(): string {
  const lines = topics.map((topic) => `  tcpcopy help ${topic.name.padEnd(8)}${topic.title}\n`)
  return `Topics:\n${lines.join('')}\nAll options: tcpcopy -h, tcpcopy record -h, intercept -h.\n`
}
