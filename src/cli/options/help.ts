/** The layout of the help: options in groups, two columns, then examples and notes. */
import { type Command, Help, type Option } from 'commander'

/** Headings of the groups, in the order in which the commands add their options. */
export const Group = {
  What: 'What to copy, and where to:',
  Which: 'Which connections:',
  Pace: 'Pace:',
  Timeouts: 'Timeouts, in seconds:',
  Capture: 'Capture:',
  Sending: 'Sending:',
  Files: 'Replaying a file (-i FILE):',
  Recording: 'What to record:',
  Output: 'Output:',
  Queue: 'Running on the target itself:',
  Channel: 'Channel between tcpcopy and intercept:',
  Firewall: 'Firewall:',
  Compatibility: 'Compatibility with tcpcopy 1.x:',
  Process: 'Process and log:'
} as const

/** How the help says which options may be repeated. */
export const LISTS = 'Options with a plural value take a list: use commas, or repeat the option.'

/** A command line and what it does. */
export interface Example {
  readonly what: string
  readonly command: string
}

/** What follows the options. */
export interface HelpEnd {
  readonly examples: readonly Example[]
  /** Paragraphs, wrapped to the width. */
  readonly notes: readonly string[]
}

/** Where descriptions begin, in columns. */
const DESCRIPTION_AT = 32
/** On narrower terminals, descriptions are below their options. */
const TWO_COLUMNS_WIDTH = 72
const STACKED_AT = 8
const WIDTH_DEFAULT = 80
const WIDTH_LEAST = 20
/** A space at which lines do not break. */
const GLUE = '\0'

/** Aligns long names, with or without a short option. */
function optionTerm({ flags, short }: Option): string {
  return short === undefined ? `    ${flags}` : flags
}

function optionDescription({ description, defaultValue }: Option): string {
  return typeof defaultValue === 'string' ? `${description} (default: ${defaultValue}).` : `${description}.`
}

function formatItem(term: string, _termWidth: number, description: string, helper: Help): string {
  const width = helper.helpWidth ?? WIDTH_DEFAULT
  const column = width < TWO_COLUMNS_WIDTH ? STACKED_AT : DESCRIPTION_AT
  // Keep a short default on one line.
  const text = description.replace(/\(default: (\S+)\)/, `(default:${GLUE}$1)`)
  const lines = helper.boxWrap(text, Math.max(WIDTH_LEAST, width - column)).replaceAll(GLUE, ' ')
  const indented = lines.replaceAll('\n', `\n${' '.repeat(column)}`)
  const start = `  ${term}  `
  return start.length > column ? `  ${term}\n${' '.repeat(column)}${indented}` : start.padEnd(column) + indented
}

function endText({ examples, notes }: HelpEnd, helper: Help): string {
  const width = helper.helpWidth ?? WIDTH_DEFAULT
  const shown = examples.map(({ what, command }) => `  ${what}:\n    ${command}\n`)
  const paragraphs = notes.map((note) => `${helper.boxWrap(note, Math.max(WIDTH_LEAST, width))}\n`)
  return [...(shown.length === 0 ? [] : ['Examples:\n', ...shown, '\n']), ...paragraphs].join('')
}

/** Gives a command this layout. */
export function layOut(command: Command, end: HelpEnd): Command {
  return command.configureHelp({
    minWidthToWrap: WIDTH_LEAST,
    optionTerm,
    optionDescription,
    formatItem,
    formatHelp: (shown, helper) => `${Help.prototype.formatHelp.call(helper, shown, helper)}\n${endText(end, helper)}`
  })
}

/** Shows only these options, given by their long names. */
export function showOnly(command: Command, names: readonly string[]): Command {
  return command.configureHelp({
    ...command.configureHelp(),
    visibleOptions: ({ options }) => options.filter(({ long }) => long !== undefined && names.includes(long))
  })
}
