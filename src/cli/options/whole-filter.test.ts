import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyCommand } from '../plans/copy-command.ts'
import { interceptCommand } from '../plans/intercept-plan.ts'
import { withPlaces } from '../plans/old-command-line.ts'
import { readOptions, wholeFilter } from './command.ts'

test('a filter that is not quoted is taken as a whole, wherever options follow', () => {
  const read = (text: string): { readonly filter?: string; readonly daemon?: boolean } => {
    const command = interceptCommand()
    const options = readOptions<{ filter?: string; daemon?: boolean; logFormat: 'text'; statisticsInterval: string }>(
      command,
      text.split(' ')
    )
    assert.ok(options)
    return wholeFilter(options, command.args)
  }
  const { filter, daemon } = read('-i eth0 -F tcp and src port 6379 -d')
  assert.deepEqual([filter, daemon], ['tcp and src port 6379', true])
  assert.equal(read('-F tcp and src host 10.0.0.2').filter, 'tcp and src host 10.0.0.2')
  assert.throws(() => read('-i eth0 tcp and src port 6379'), /unexpected argument "tcp and src port 6379"/)
})

test('tcpcopy takes it as well, besides the form before 1.0', () => {
  const read = (text: string) => {
    const command = copyCommand()
    command.parse(text.split(' '), { from: 'user' })
    return withPlaces(command.opts(), command.args)
  }
  assert.equal(read('-x 80-10.0.0.2:80 -F net 10.0.0.0/8 and port 80 -s 10.0.0.3').filter, 'net 10.0.0.0/8 and port 80')
  assert.deepEqual(read('10.0.0.1 80 10.0.0.2 80').map, ['10.0.0.1:80-10.0.0.2:80'])
})
