/** What the command lines of all programs share. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { OperatorError } from '../../errors.ts'
import { type FirewallName, firewallNames } from '../firewall/firewall.ts'
import { applyConfig } from './config.ts'
import { Group } from './help.ts'

export type LogFormat = 'text' | 'json'

/** Options of all programs, as commander returns them: strings. */
export interface ProcessOptions {
  readonly config?: string
  readonly log?: string
  readonly logFormat: LogFormat
  readonly pidFile?: string
  readonly daemon?: boolean
  readonly statisticsInterval: string
}

/** Options of programs that can install firewall rules. */
export interface FirewallOptions {
  readonly manageRules?: boolean
  readonly firewall: FirewallName
}

function version(): string {
  const path = new URL('../../../../package.json', import.meta.url)
  const content: unknown = JSON.parse(readFileSync(path, 'utf8'))
  const hasVersion = typeof content === 'object' && content !== null && 'version' in content
  return hasVersion ? String(content.version) : 'unknown'
}

/** A command without options yet. @param usage what follows `Usage: NAME` */
export function newCommand(name: string, summary: string, usage: string): Command {
  return new Command(name)
    .description(summary)
    .usage(usage)
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
}

/** Adds the options that every command has. */
export function addProcessOptions(command: Command): Command {
  return command
    .optionsGroup(Group.Process)
    .option('--config <file>', 'Read options from a TOML file')
    .option('-d, --daemon', 'Run in the background')
    .option('-P, --pid-file <file>', 'Write the process id to this file')
    .option('-l, --log <file>', 'Append the log to this file (default: stderr)')
    .addOption(new Option('--log-format <format>', 'text or json').choices(['text', 'json']).default('text'))
    .option('--statistics-interval <sec>', 'Time between statistics; 0: only on exit', '30')
    .version(version(), '-v, --version', 'Print the version')
    .helpOption('-h, --help', 'Print this help')
}

/** @param rules what --manage-rules does in this program */
export function addFirewallOptions(command: Command, rules: string): Command {
  const names = new Option('--firewall <program>', `What --manage-rules uses: ${firewallNames.join(', ')}`)
  return command
    .optionsGroup(Group.Firewall)
    .option('--manage-rules', rules)
    .addOption(names.choices(firewallNames).default('auto'))
}

/**
 * The filter of `-F` with the words that follow it: an expression that was not quoted, as it often is in tutorials.
 * @param words the arguments of the command line that are not options
 */
export function wholeFilter<Options extends { readonly filter?: string }>(
  options: Options,
  words: readonly string[]
): Options {
  if (words.length === 0) return options
  if (options.filter !== undefined) return { ...options, filter: [options.filter, ...words].join(' ') }
  throw new OperatorError('bad-option', `unexpected argument "${words.join(' ')}"`, 'A filter follows -F. See --help.')
}

/** Turns an error of commander into a message and a hint of one line each. */
function usageError(command: Command, { code, message }: CommanderError): OperatorError {
  const [first = '', ...more] = message.replace(/^error: /, '').split('\n')
  const guess = /\(Did you mean .*\?\)/.exec(more.join(' '))?.[0].slice(1, -1)
  const isExcess = code === 'commander.excessArguments'
  const what = isExcess ? `unexpected argument "${command.args.join(' ')}"` : first
  return new OperatorError('bad-option', what, `${guess === undefined ? '' : `${guess} `}See ${command.name()} --help.`)
}

/**
 * Reads a command line and its configuration file.
 * @returns the options; undefined if the help or the version was printed
 */
export function readOptions<Options extends ProcessOptions>(
  command: Command,
  argv: readonly string[]
): Options | undefined {
  try {
    command.parse(argv, { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    if (error.exitCode === 0) return undefined
    throw usageError(command, error)
  }
  const { config } = command.opts<Options>()
  if (config !== undefined) applyConfig(command, config)
  return command.opts<Options>()
}
