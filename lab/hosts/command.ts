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

/** @returns the items with these names, or all if there are no names. @throws OperatorError if there is no such item */
export function chooseByName<T extends { readonly name: string }>(all: readonly T[], names: readonly string[]): T[] {
  const unknown = names.find((name) => all.every((one) => one.name !== name))
  if (unknown !== undefined) {
    const known = all.map(({ name }) => name).join(', ')
    throw new OperatorError('lab-option', `There is no load ${unknown}.`, `Choose from: ${known}.`)
  }
  return all.filter(({ name }) => names.length === 0 || names.includes(name))
}

/**
 * Runs a command: sets the exit status from its result, and prints its error to stderr.
 * @param readChoice reads the command line; undefined: the user asked for help
 */
export async function runCommand<Choice>(
  usage: string,
  readChoice: () => Choice | undefined,
  run: (choice: Choice) => Promise<number>
): Promise<void> {
  try {
    const choice = readChoice()
    if (choice === undefined) process.stdout.write(usage)
    else process.exitCode = await run(choice)
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
