/** What both programs' command lines have in common. */
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { OperatorError } from '../../errors.ts'
import { type FirewallName, firewallNames } from '../firewall/firewall.ts'
import { applyConfig } from './config.ts'

export type LogFormat = 'text' | 'json'

/** Options of both programs, as commander leaves them: texts. */
export interface ProcessOptions {
  readonly config?: string
  readonly log?: string
  readonly logFormat: LogFormat
  readonly pidFile?: string
  readonly daemon?: boolean
  readonly statisticsInterval: string
}

/** Options of programs that can make firewall rules. */
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

/** A command line without its own options yet. */
export function newCommand(name: string, summary: string): Command {
  return new Command(name)
    .description(summary)
    .version(version(), '-v, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
}

/** Adds what every daemon of ours understands. */
export function addProcessOptions(command: Command): Command {
  return command
    .option('--config <file>', 'read options from a TOML file; its keys are the long names here')
    .option('-l, --log <file>', 'append the log to this file instead of standard error; SIGHUP opens it anew')
    .addOption(new Option('--log-format <format>', 'how the log is written').choices(['text', 'json']).default('text'))
    .option('-P, --pid-file <file>', 'write the process id to this file')
    .option('-d, --daemon', 'run in the background')
    .option('--statistics-interval <seconds>', 'how often statistics are logged; 0: only at the end', '30')
}

/** @param rules what --manage-rules is for, in this program */
export function addFirewallOptions(command: Command, rules: string): Command {
  const names = new Option('--firewall <program>', 'what --manage-rules works with').choices(firewallNames)
  return command.option('--manage-rules', rules).addOption(names.default('auto'))
}

/**
 * Reads a command line and its configuration file.
 * @returns the options; undefined if help or the version was asked for, and printed
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
    const message = error.message.replace(/^error: /, '')
    throw new OperatorError('bad-option', message, `See ${command.name()} --help.`)
  }
  const { config } = command.opts<Options>()
  if (config !== undefined) applyConfig(command, config)
  return command.opts<Options>()
}
