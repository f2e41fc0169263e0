import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Crew } from './crew.ts'
import { Control, type WorkerWord } from './worker-protocol.ts'

/** A worker that does as its `does` says; it has a descriptor that swallows what wakes it. */
const script = `
  import { openSync } from 'node:fs'
  import { parentPort, workerData } from 'node:worker_threads'
  const { control, group, does, name } = workerData
  const words = new Int32Array(control)
  const say = (message) => parentPort.postMessage(message)
  const isSet = (word) => Atomics.load(words, word) === 1
  const until = (word, then) => isSet(word) || isSet(${Control.Stop}) ? then() : setTimeout(until, 1, word, then)
  const tell = (message) => say({ type: 'log', level: 'info', message, fields: { name } })
  if (does === 'fail') say({ type: 'failed', code: 'no-memory', message: name + ' has no memory', hint: '' })
  else {
    tell('group ' + group)
    say({ type: 'opened', wake: openSync('/dev/null', 'w'), group: (group ?? 0) + 1 })
    const run = () => {
      tell('begins')
      say({ type: 'ready' })
      if (does === 'die') throw new Error(name + ' died')
      until(${Control.Stop}, () => say({ type: 'stopped', status: does === 'lose' ? 2 : 0 }))
    }
    until(${Control.Begin}, run)
  }`
const url = new URL(`data:text/javascript,${encodeURIComponent(script)}`)

function crewOf(...does: readonly string[]): { crew: Crew; words: string[]; failures: string[] } {
  const words: string[] = []
  const failures: string[] = []
  const crew = new Crew({
    url,
    data: does.map((one, index) => ({ does: one, name: `worker ${index}` })),
    transfer: [],
    onWord: (word: WorkerWord, worker) => words.push(`${worker} ${word.type === 'log' ? word.message : word.type}`),
    onFailure: ({ message }) => failures.push(message)
  })
  return { crew, words, failures }
}

test('workers open one after the other, and none begins before all are open', async () => {
  const { crew, words } = crewOf('work', 'lose', 'work')
  await crew.ready
  assert.deepEqual(words.slice(0, 3), ['0 group undefined', '1 group 1', '2 group 2'])
  assert.deepEqual(words.slice(3).sort(), ['0 begins', '1 begins', '2 begins'])
  crew.stop()
  assert.equal(await crew.ended, 2, 'the worst status is that of all')
})

test('a worker that cannot open keeps the program from starting, and says why', async () => {
  const { crew, words, failures } = crewOf('work', 'fail', 'work')
  await assert.rejects(crew.ready, { code: 'no-memory', message: 'worker 1 has no memory' })
  assert.equal(await crew.ended, 1)
  assert.deepEqual([words, failures], [['0 group undefined'], ['worker 1 has no memory']])
  // Others wait for it; only if they are told to stop does the process end.
  crew.stop()
})

test('a worker that dies ends the program', async () => {
  const { crew, failures } = crewOf('work', 'die')
  await crew.ready
  assert.equal(await crew.ended, 1)
  assert.deepEqual(failures, ['worker 1 died'])
  crew.stop()
})
