/** Options for replaying a file, and the plan made from them. */
import type { Command } from 'commander'
import type { ReplayPace } from '../../core/capture/replay-clock.ts'
import { OperatorError } from '../../errors.ts'
import type { FileTime } from '../../io/file/file-capture.ts'
import { Group } from '../options/help.ts'
import { badValue, wholeNumber } from '../options/values.ts'
import { type CaptureOptions, inputOf } from './capture-plan.ts'

const SPEED_LEAST = 0.001
const SPEED_MOST = 1_000_000

export interface ReplayOptions extends CaptureOptions {
  readonly accelerate?: string
  readonly interval?: string
  readonly rounds?: string
  readonly from?: string
  readonly to?: string
  readonly checksums: boolean
}

/** How to replay a file; plain data for the worker. */
export interface ReplayPlan {
  readonly path: string
  readonly pace: ReplayPace
  readonly rounds: number
  readonly from: FileTime | undefined
  readonly to: FileTime | undefined
  readonly filter: string | undefined
  readonly isChecking: boolean
}

export function addReplayOptions(command: Command): Command {
  return command
    .optionsGroup(Group.Files)
    .option('-a, --accelerate <factor>', 'Speed: 2 is twice as fast (default: 1)')
    .option('-I, --interval <ms>', 'Longest pause (default: as in the file)')
    .option('-T, --rounds <number>', 'How often; 0: until stopped (default: 1)')
    .option('--from <time>', 'Start at 2026-11-21T10:00:00, at seconds since 1970, or +SECONDS into the file')
    .option('--to <time>', 'Stop at this time, written as for --from')
    .option('--no-checksums', 'Accept packets with wrong checksums')
}

/** @returns undefined for live traffic @throws OperatorError */
export function replayPlan(options: ReplayOptions): ReplayPlan | undefined {
  const { device, accelerate, interval, rounds, from, to, filter, checksums } = options
  const { path } = inputOf(device)
  if (path === undefined) {
    refuseWithoutFile(options)
    return undefined
  }
  refuseWithFile(options)
  return {
    path,
    pace: {
      speed: accelerate === undefined ? 1 : speed(accelerate),
      gapMaxMs: interval === undefined ? Number.POSITIVE_INFINITY : wholeNumber('--interval', interval, 0, 86_400_000)
    },
    rounds: rounds === undefined ? 1 : wholeNumber('--rounds', rounds, 0, 1_000_000),
    from: from === undefined ? undefined : fileTime('--from', from),
    to: to === undefined ? undefined : fileTime('--to', to),
    filter,
    isChecking: checksums
  }
}

function refuseWithoutFile(options: ReplayOptions): void {
  const names = ['accelerate', 'interval', 'rounds', 'from', 'to'] as const
  const given = options.checksums ? names.find((name) => options[name] !== undefined) : 'no-checksums'
  if (given === undefined) return
  const hint = `Name the file with -i, or remove --${given}.`
  throw new OperatorError('contradiction', `--${given} requires a file to replay, and -i names none`, hint)
}

function refuseWithFile({ snapLength }: ReplayOptions): void {
  if (snapLength === undefined) return
  const hint = 'Remove it: it applies to live capture only.'
  throw new OperatorError('contradiction', '--snap-length cannot be used with a file', hint)
}

function speed(text: string): number {
  const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (number >= SPEED_LEAST && number <= SPEED_MOST) return number
  throw badValue('--accelerate', text, `a factor from ${SPEED_LEAST} to ${SPEED_MOST}`)
}

/** A date without a time zone is local time. */
function fileTime(option: string, text: string): FileTime {
  const seconds = /^(\+?)(\d+(?:\.\d+)?)$/.exec(text)
  if (seconds !== null) return { ms: Number(seconds[2]) * 1000, isRelative: seconds[1] === '+' }
  const ms = /^\d{4}-\d\d-\d\d([T ]|$)/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(ms)) return { ms, isRelative: false }
  throw badValue(
    option,
    text,
    '2026-11-21T10:00:00, seconds since 1970, or +SECONDS after the first packet of the file'
  )
}
