/**
 * Options from a TOML file (`--config`), with the same long names and values as on the command line, which takes
 * precedence.
 */
import { readFileSync } from 'node:fs'
import type { Command, Option } from 'commander'
import { parse, TomlError } from 'smol-toml'
import { OperatorError } from '../../errors.ts'

/** Collects the values of an option that may be repeated. */
export function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}

/**
 * Sets the options of the file that are not on the command line.
 * @throws OperatorError `bad-config`
 */
export function applyConfig(program: Command, path: string): void {
  for (const [name, value] of Object.entries(readToml(path))) {
    const option = program.options.find((one) => one.long === `--${name}` || one.long === `--no-${name}`)
    if (option === undefined || name === 'config') {
      const hint = `Fix the file: keys are long option names without dashes, see ${program.name()} --help.`
      throw new OperatorError('bad-config', `${path} contains an unknown option "${name}"`, hint)
    }
    const attribute = option.attributeName()
    if (program.getOptionValueSource(attribute) === 'cli') continue
    const converted = convert(path, name, option, value)
    // `no-wait = true` and `wait = false` are the same.
    const isNegated = option.negate && option.long === `--${name}`
    program.setOptionValueWithSource(attribute, isNegated ? !converted : converted, 'config')
  }
}

function readToml(path: string): Record<string, unknown> {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new OperatorError(
      'bad-config',
      `the configuration file ${path} cannot be read`,
      'Check its path and permissions.',
      {
        cause
      }
    )
  }
  try {
    return parse(text)
  } catch (cause) {
    const message = `${path} is not valid TOML: ${reasonOf(cause)}`
    throw new OperatorError('bad-config', message, 'Fix the file; docs/configuration.md has an example.', { cause })
  }
}

/** The reason in one line, without the parser's excerpt of the file. */
function reasonOf(cause: unknown): string {
  if (!(cause instanceof TomlError)) return String(cause)
  const [words = ''] = cause.message.replace(/^Invalid TOML document: /, '').split('\n')
  return `line ${cause.line}, column ${cause.column}: ${words}`
}

function convert(path: string, name: string, option: Option, value: unknown): unknown {
  const isText = typeof value === 'string' || typeof value === 'number'
  if (option.isBoolean() || option.negate) {
    if (typeof value === 'boolean') return value
  } else if (option.argChoices !== undefined) {
    // Tables and lists have no text.
    const text = isText ? String(value) : 'a table or a list'
    if (option.argChoices.includes(text)) return text
    const expected = option.argChoices.join(' or ')
    throw new OperatorError('bad-config', `${path}: "${name}" cannot be ${text}`, `Expected ${expected}.`)
  } else if (option.parseArg === undefined) {
    if (isText) return String(value)
  } else {
    if (isText) return [String(value)]
    if (Array.isArray(value) && value.every((one) => typeof one === 'string' || typeof one === 'number')) {
      return value.map(String)
    }
  }
  const expected = option.isBoolean() || option.negate ? 'true or false' : 'a string, a number or a list of these'
  throw new OperatorError('bad-config', `${path}: "${name}" has a value of the wrong type`, `Expected ${expected}.`)
}
