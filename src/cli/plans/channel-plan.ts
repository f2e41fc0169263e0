/** Options of both programs for the channel between them. */
import { readFileSync, statSync } from 'node:fs'
import { type Command, Option } from 'commander'
import { CHANNEL_DEFAULT, type ChannelOptions } from '../../daemon/channel/negotiation.ts'
import { OperatorError } from '../../errors.ts'
import { type Framing, Framings } from '../../wire/channel/channel-v1.ts'
import { Group } from '../options/help.ts'

const SECRET_MIN = 16
const SECRET_MAX = 4096

export interface ChannelTexts {
  readonly secretFile?: string
  readonly channelVersion?: string
  readonly single?: boolean
  readonly disableCombined?: boolean
  readonly withRespPayload?: boolean
}

export function addChannelOptions(command: Command): Command {
  const version = new Option('--channel-version <1|2>', 'Highest protocol version, 1 or 2 (default: 2)')
  return command
    .optionsGroup(Group.Channel)
    .option('--secret-file <file>', 'Secret shared with the peer; others are refused')
    .addOption(version.choices(['1', '2']))
}

/** Options for a peer of tcpcopy 1.x, named after its build options. */
export function addBuildOptions(command: Command): Command {
  return command
    .optionsGroup(Group.Compatibility)
    .option('--single', 'The peer was built with --single')
    .option('--disable-combined', 'The peer was built with --disable-combined')
    .option('--with-resp-payload', 'The peer was built with --with-resp-payload')
}

/** The build options of the peer that were given. The protocol does not tell them. */
function buildsOf(texts: ChannelTexts): readonly string[] {
  const { single, disableCombined, withRespPayload } = texts
  return [
    ...(single === true ? ['--single'] : []),
    ...(disableCombined === true ? ['--disable-combined'] : []),
    ...(withRespPayload === true ? ['--with-resp-payload'] : [])
  ]
}

/** @throws OperatorError `bad-secret`, `contradiction` */
export function readChannel(texts: ChannelTexts): ChannelOptions {
  const { secretFile, channelVersion } = texts
  const [build] = buildsOf(texts)
  const hint = 'Remove one of the two.'
  if (build !== undefined && channelVersion === '2') {
    throw new OperatorError(
      'contradiction',
      `${build} cannot be used with --channel-version 2: it requires version 1 of the channel`,
      hint
    )
  }
  const version = build === undefined ? Number(channelVersion ?? CHANNEL_DEFAULT.version) : 1
  if (version === 1 && secretFile !== undefined) {
    const other = build === undefined ? '--channel-version 1' : build
    throw new OperatorError(
      'contradiction',
      `--secret-file cannot be used with ${other}: it requires version 2 of the channel`,
      hint
    )
  }
  const secret = secretFile === undefined ? undefined : readSecret(secretFile)
  return { version, secret, framing: readFraming(texts), isSingle: texts.single === true }
}

function readFraming({ disableCombined, withRespPayload }: ChannelTexts): Framing {
  if (disableCombined === true && withRespPayload === true) {
    const hint = 'Remove one of the two: tcpcopy 1.x cannot be built with both.'
    throw new OperatorError('contradiction', '--disable-combined cannot be used with --with-resp-payload', hint)
  }
  if (disableCombined === true) return Framings.Bare
  return withRespPayload === true ? Framings.WithPayload : Framings.Combined
}

function readSecret(path: string): Uint8Array {
  let text: Buffer
  let mode: number
  try {
    text = readFileSync(path)
    mode = statSync(path).mode
  } catch (cause) {
    const hint = 'Create it: head -c 32 /dev/urandom | base64 > FILE; chmod 600 FILE. Copy it to the other host.'
    throw new OperatorError('bad-secret', `the secret file ${path} cannot be read`, hint, { cause })
  }
  if (mode & 0o007) {
    const message = `every user of this host can read or write the secret file ${path}`
    throw new OperatorError('bad-secret', message, `Restrict its permissions: chmod 600 ${path}.`)
  }
  let length = text.length
  while (length > 0 && ' \t\r\n'.includes(String.fromCharCode(text[length - 1] ?? 0))) length -= 1
  if (length >= SECRET_MIN && length <= SECRET_MAX) return new Uint8Array(text.subarray(0, length))
  const message = `the secret in ${path} has ${length} bytes`
  const hint = `Use ${SECRET_MIN} to ${SECRET_MAX} bytes, as from head -c 32 /dev/urandom | base64.`
  throw new OperatorError('bad-secret', message, hint)
}
