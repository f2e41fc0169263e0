import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { LogFile } from './log.ts'
import type { LogFormat } from './options/command.ts'

/** Logs a line, two more while the disk is full, and another one after that. @returns what the file holds at the end */
function throughFullDisk(format: LogFormat): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'log-'))
  try {
    const link = join(folder, 'log')
    symlinkSync('/dev/full', link)
    const file = new LogFile(link, format)
    file.log('info', 'lost')
    file.log('warn', 'lost as well', { count: 2 })
    unlinkSync(link)
    file.reopen()
    file.log('info', 'written', { count: 3 })
    file.log('info', 'written too')
    return readFileSync(link, 'utf8').trimEnd().split('\n')
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('after a full disk, the log says how many lines are missing, once', () => {
  const [missing = '', ...written] = throughFullDisk('text').map((line) => line.slice(25))
  assert.equal(missing, 'WARN: lines are missing here: the log could not be written: lines 2, reason ENOSPC')
  assert.deepEqual(written, ['written: count 3', 'written too'])
  const [entry = ''] = throughFullDisk('json')
  const { level, lines, reason } = JSON.parse(entry)
  assert.deepEqual({ level, lines, reason }, { level: 'warn', lines: 2, reason: 'ENOSPC' })
})

test('a listener hears warnings and errors, with their hints', () => {
  const file = new LogFile('/dev/null', 'json')
  const heard: string[] = []
  file.listen((text) => heard.push(text))
  file.log('info', 'good')
  file.log('warn', 'bad', { count: 1, others: 0, isKnown: false, places: ['a'], hint: 'Do something.' })
  file.listen(undefined)
  file.log('error', 'worse')
  assert.deepEqual(heard, ['bad: count 1\n  Do something.'])
})
