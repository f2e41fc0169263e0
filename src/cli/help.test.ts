/** What `-h` and `tcpcopy help` print is complete, fits the terminal, and can be typed as it stands. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Command, Option } from 'commander'
import { OperatorError } from '../errors.ts'
import { readOptions, wholeFilter } from './options/command.ts'
import { Group } from './options/help.ts'
import { type CopyOptions, copyCommand } from './plans/copy-command.ts'
import { copyPlan } from './plans/copy-plan.ts'
import { type InterceptOptions, interceptCommand, interceptPlan, interceptRules } from './plans/intercept-plan.ts'
import { type RecordCommandOptions, recordCommand, recordPlan } from './plans/record-plan.ts'
import { helpText, topicCommand, topics } from './topics.ts'

const commands = [copyCommand, interceptCommand, recordCommand]
const everyHelp = [...commands, ...topics.map((topic) => () => topicCommand(topic))]

/** The help on a terminal of this width; without one, as it goes into a pipe. */
function textOf(command: Command, width?: number): string {
  return command.configureOutput({ getOutHelpWidth: () => width as number }).helpInformation() // as: commander's own says undefined
}

/** The options, with -h. */
function optionsOf(command: Command): Option[] {
  return command.createHelp().visibleOptions(command)
}

/** How the line of an option begins in the help. */
function startOf({ short, long }: Option): string {
  return short === undefined ? `      ${long}` : `  ${short}, ${long}`
}

function longLines(text: string, width: number): string[] {
  return text.split('\n').filter((line) => line.length > width)
}

/** Each heading with the lines below it, up to the empty line. */
function groupsOf(text: string): Map<string, string[]> {
  const headings: readonly string[] = Object.values(Group)
  const blocks = text.split('\n\n').map((block) => block.split('\n'))
  return new Map(
    blocks.filter(([first = '']) => headings.includes(first)).map(([first = '', ...rest]) => [first, rest])
  )
}

test('every option stands once, in one group, and no group is empty', () => {
  for (const command of commands.map((make) => make())) {
    const groups = groupsOf(textOf(command))
    const shown = new Map(
      [...groups].map(([heading, lines]) => [heading, lines.filter((line) => /^ {2}(?:-| {4}-)/.test(line))])
    )
    for (const option of optionsOf(command)) {
      const found = [...shown].filter(([, lines]) => lines.some((line) => `${line} `.startsWith(`${startOf(option)} `)))
      assert.deepEqual(
        found.map(([heading]) => heading),
        [option.helpGroupHeading],
        `${command.name()} ${option.long}`
      )
    }
    assert.equal([...shown.values()].flat().length, optionsOf(command).length)
    assert.ok([...shown.values()].every((lines) => lines.length > 0))
    assert.doesNotMatch(textOf(command), /^Options:$/m)
  }
})

test('every option has a description; its default and its choices are in the help', () => {
  for (const command of commands.map((make) => make())) {
    // On a terminal so wide that only the long names have a line of their own.
    const text = textOf(command, 400).replace(/\n {32}/g, '  ')
    for (const option of optionsOf(command)) {
      const line = text.split('\n').find((one) => `${one} `.startsWith(`${startOf(option)} `))
      assert.ok(line !== undefined && /\S {2,}\S.*\.$/.test(line.trim()), `${option.long}: ${line}`)
      if (typeof option.defaultValue === 'string') assert.ok(line.endsWith(` (default: ${option.defaultValue}).`), line)
      for (const choice of option.argChoices ?? []) assert.ok(line.includes(choice), `${line}: ${choice}`)
    }
  }
})

test('the help fits 80 columns where there is no terminal, and else the width of the terminal', () => {
  for (const make of everyHelp) {
    for (const width of [undefined, 80, 100, 132]) {
      assert.deepEqual(longLines(textOf(make(), width), width ?? 80), [], `${make().name()} at ${width}`)
    }
    const options = textOf(make(), 50).replace(/^Usage:.*?\n\n|^Examples:.*?\n\n/gms, '')
    assert.deepEqual(longLines(options, 50), [])
    assert.ok(textOf(make(), 200).split('\n').length < textOf(make(), 80).split('\n').length)
  }
  assert.deepEqual(longLines(helpText([]), 80), [])
})

test('no option takes more than two lines of description', () => {
  for (const command of commands.map((make) => make())) {
    const blocks = textOf(command).split(/\n(?! {32})/)
    const descriptions = blocks.map((block) => block.split('\n').filter((line) => /^.{31} \S/.test(line)))
    const options = descriptions.filter(([first = '']) => / {2}\S.*$/.test(first))
    assert.ok(options.length > 10)
    assert.deepEqual(options.filter((lines) => lines.length > 2).flat(), [])
  }
})

test('the topics name only options that exist, and show no others', () => {
  for (const topic of topics) {
    const existing = topic.command().options.map(({ long }) => long)
    for (const name of topic.options) assert.ok(existing.includes(name), `${topic.name}: ${name}`)
    assert.equal(new Set(topic.options).size, topic.options.length)
    const shown = optionsOf(topicCommand(topic)).map(({ long }) => `${long}`)
    assert.deepEqual(shown.sort(), [...topic.options].sort())
  }
})

/** The words of a command line; quotes keep spaces together. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '')
}

/** Reads a command line as the program does, up to the plan. */
async function plan(line: string): Promise<unknown> {
  const [program, ...words] = wordsOf(line)
  if (program === 'intercept') {
    const options = readOptions<InterceptOptions>(interceptCommand(), words)
    assert.ok(options)
    // This host may forward packets.
    const made = await interceptPlan({ ...options, allowForwarding: true })
    return [made, interceptRules(options, made)]
  }
  assert.equal(program, 'tcpcopy')
  if (words[0] === 'record') {
    const options = readOptions<RecordCommandOptions>(recordCommand(), words.slice(1))
    assert.ok(options)
    return recordPlan(options)
  }
  const options = readOptions<CopyOptions>(copyCommand(), words)
  assert.ok(options)
  return copyPlan(options)
}

test('the examples can be typed as they stand', async () => {
  const lines = everyHelp.flatMap((make) => [...textOf(make()).matchAll(/^ {4}((?:tcpcopy|intercept) .*)$/gm)])
  assert.ok(lines.length >= 3 * commands.length + 2 * topics.length)
  for (const [, line = ''] of lines) {
    try {
      assert.ok(await plan(line))
    } catch (error) {
      // The device of an example need not be here.
      assert.ok(error instanceof OperatorError && error.code === 'no-device', `${line}: ${error}`)
    }
  }
  for (const make of commands) assert.equal((textOf(make()).match(/^ {4}(?:tcpcopy|intercept) /gm) ?? []).length, 3)
})

test('the examples of a topic use the options that the topic shows', () => {
  for (const topic of topics) {
    const { options } = topicCommand(topic)
    const own = topic.examples.filter(({ command }) => command.startsWith(topic.command().name()))
    assert.ok(own.length > 0)
    for (const word of own.flatMap(({ command }) => wordsOf(command)).filter((one) => /^--?[a-zA-Z]/.test(one))) {
      const option = options.find(({ short, long }) => word === short || word === long)
      assert.ok(topic.options.includes(`${option?.long}`), `${topic.name}: ${word}`)
    }
  }
})

test('a wrong command line is told in one line, with a hint in another', () => {
  const read =
    (command: Command, ...words: readonly string[]) =>
    () =>
      readOptions(command, words)
  const hint = 'See tcpcopy --help.'
  for (const [words, message, expected] of [
    [['--tiemout', '3'], "unknown option '--tiemout'", `Did you mean --timeout? ${hint}`],
    [['--zzzzzzzz'], "unknown option '--zzzzzzzz'", hint],
    [['-x'], "option '-x, --map <maps>' argument missing", hint]
  ] as const) {
    assert.throws(read(copyCommand(), ...words), { code: 'bad-option', message, hint: expected })
  }
  assert.throws(read(recordCommand(), '-x'), {
    code: 'bad-option',
    message: "option '-x, --map <servers>' argument missing"
  })
  assert.throws(() => wholeFilter({}, ['a', 'b']), { code: 'bad-option', message: 'unexpected argument "a b"' })
})

test('tcpcopy help lists the topics, and refuses one that does not exist with what there is', () => {
  for (const words of [[], ['-h'], ['--help']]) {
    for (const { name } of topics) assert.match(helpText(words), new RegExp(`^ {2}tcpcopy help ${name} `, 'm'))
  }
  for (const { name, title } of topics) assert.ok(helpText([name]).includes(title))
  for (const words of [['lvie'], ['live', 'replay'], ['']]) {
    assert.throws(() => helpText(words), { code: 'bad-option', hint: /live, replay, record/ })
  }
})
