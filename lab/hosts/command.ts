/** What the lab's commands share: options, signals, errors, exit codes. */
import { constants } from 'node:os'
import { OperatorError } from '../../src/errors.ts'

/** A signal asked the command to end. */
export class Interrupted extends Error {
  readonly signal: NodeJS.Signals

  constructor(signal: NodeJS.Signals) {
    super(`Interrupted by ${signal}.`)
    this.signal = signal
  }
}

/** @throws OperatorError if the value is not a positive integer */
export function positive(name: string, value: string): number {
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value)
  throw new OperatorError('lab-option', `${name} is ${value}.`, 'Use a positive integer.')
}

/** Rejects at the first signal. Later ones have no effect: the lab is closing already. */
export function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Interrupted(signal)))
  })
}

/** Runs a command: sets the exit status from its result, and prints its error to stderr. */
export async function runCommand(usage: string, command: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await command()
  } catch (error) {
    process.exitCode = explain(error, usage)
  }
}

function explain(error: unknown, usage: string): number {
  if (error instanceof Interrupted) {
    console.error(error.message)
    return 128 + constants.signals[error.signal]
  }
  const isOptionError = error instanceof TypeError && 'code' in error && `${error.code}`.startsWith('ERR_PARSE_ARGS')
  if (isOptionError) console.error(`${error.message}\n\n${usage}`)
  else if (error instanceof OperatorError) console.error(`${error.message}\n${error.hint}`)
  else console.error(error instanceof Error ? error.message : error)
  return 1
}
