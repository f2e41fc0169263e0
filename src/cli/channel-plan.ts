/** How the two programs trust each other: options of both. */
import { readFileSync, statSync } from 'node:fs'
import { type Command, Option } from 'commander'
import type { ChannelOptions } from '../daemon/negotiation.ts'
import { OperatorError } from '../errors.ts'

const SECRET_MIN = 16
const SECRET_MAX = 4096

export interface ChannelTexts {
  readonly secretFile?: string
  readonly channelVersion: string
}

export function addChannelOptions(command: Command): Command {
  return command
    .option('--secret-file <file>', 'a secret that the other program has to know; the same file on both sides')
    .addOption(
      new Option('--channel-version <version>', 'highest version of the channel to speak; 1 is that of tcpcopy 1.x')
        .choices(['1', '2'])
        .default('2')
    )
}

/** @throws OperatorError `bad-secret`, `contradiction` */
export function readChannel({ secretFile, channelVersion }: ChannelTexts): ChannelOptions {
  const version = Number(channelVersion)
  if (secretFile === undefined) return { version, secret: undefined }
  if (version === 1) {
    const hint = 'Leave out one of the two.'
    throw new OperatorError('contradiction', '--secret-file needs version 2 of the channel', hint)
  }
  return { version, secret: readSecret(secretFile) }
}

function readSecret(path: string): Uint8Array {
  let text: Buffer
  let mode: number
  try {
    text = readFileSync(path)
    mode = statSync(path).mode
  } catch (cause) {
    const hint = 'Make one: head -c 32 /dev/urandom | base64 > FILE; chmod 600 FILE; copy it to the other host.'
    throw new OperatorError('bad-secret', `the secret file ${path} cannot be read`, hint, { cause })
  }
  if (mode & 0o007) {
    const message = `the secret file ${path} may be read or written by everybody`
    throw new OperatorError('bad-secret', message, `Keep it to yourself: chmod 600 ${path}.`)
  }
  let length = text.length
  while (length > 0 && ' \t\r\n'.includes(String.fromCharCode(text[length - 1] ?? 0))) length -= 1
  if (length >= SECRET_MIN && length <= SECRET_MAX) return new Uint8Array(text.subarray(0, length))
  const message = `the secret in ${path} has ${length} octets`
  const hint = `It takes ${SECRET_MIN} to ${SECRET_MAX}, as from head -c 32 /dev/urandom | base64.`
  throw new OperatorError('bad-secret', message, hint)
}
