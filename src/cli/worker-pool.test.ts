import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { test } from 'node:test'
import { WorkerPool } from './worker-pool.ts'

/** A worker that behaves as `does` says. `opened`: how many have opened; which, in order; how many have started. */
const script = `
  import { OperatorError } from ${JSON.stringify(new URL('../errors.js', import.meta.url).href)}
  import { Poller } from ${JSON.stringify(new URL('../io/linux/system/poller.js', import.meta.url).href)}
  import { isStopped, runWorker } from ${JSON.stringify(new URL('./threads/worker-thread.js', import.meta.url).href)}
  runWorker(({ control, wake, does, worker, workers, opened }) => {
    if (does === 'fail') throw new OperatorError('no-memory', 'worker ' + worker + ' has no memory', '')
    const poller = new Poller(wake)
    opened[Atomics.add(opened, 0, 1) + 1] = worker
    return {
      begin: () => {
        if (!isStopped(control) && opened[0] < workers) throw new Error('worker ' + worker + ' began too early')
        Atomics.add(opened, 4, 1)
      },
      run: () => {
        if (does === 'die') throw new Error('worker ' + worker + ' died')
        if (does === 'vanish') process.exit()
        while (!isStopped(control)) poller.wait(Infinity)
        return does === 'lose' ? 2 : 0
      }
    }
  })`
const url = new URL(`data:text/javascript,${encodeURIComponent(script)}`)

class TestPool implements AsyncDisposable {
  readonly workerPool: WorkerPool
  readonly failures: string[] = []
  readonly #opened = new Int32Array(new SharedArrayBuffer(20))

  constructor(...does: readonly string[]) {
    this.workerPool = new WorkerPool({
      url,
      data: does.map((one) => ({ does: one, opened: this.#opened })),
      transfer: [],
      onWord: () => {},
      onFailure: ({ message }) => this.failures.push(message)
    })
  }

  /** Workers that have opened, in order. */
  get opened(): number[] {
    return [...this.#opened.subarray(1, 1 + (this.#opened[0] ?? 0))]
  }

  get begunCount(): number {
    return this.#opened[4] ?? 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.workerPool.stop()
    await this.workerPool.ended
  }
}

/** Eventfds of this process. */
function wakeCount(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventfd]'
    } catch {
      return false // the descriptor of the folder
    }
  }).length
}

test('workers open one after the other, and none starts before all are open', async () => {
  await using tested = new TestPool('work', 'lose', 'work')
  const { workerPool } = tested
  await workerPool.ready
  assert.deepEqual([tested.opened, tested.begunCount], [[0, 1, 2], 3])
  workerPool.stop()
  assert.equal(await workerPool.ended, 2, 'the worst status is that of all')
  assert.deepEqual(tested.failures, [])
})

test('if a worker cannot open, the program does not start, and reports why', async () => {
  await using tested = new TestPool('work', 'fail', 'work')
  await assert.rejects(tested.workerPool.ready, { code: 'no-memory', message: 'worker 1 has no memory' })
  assert.equal(await tested.workerPool.ended, 1)
  assert.deepEqual([tested.failures, tested.opened], [['worker 1 has no memory'], [0]])
})

for (const [does, failure] of [
  ['die', /^Error: worker 1 died/],
  ['vanish', /^worker 1 exited unexpectedly/]
] as const) {
  test(`a worker that ends by itself ends the others and the program (${does})`, async () => {
    await using tested = new TestPool('work', does, 'work')
    // It does not matter whether all were ready before.
    await tested.workerPool.ready.catch(() => {})
    assert.equal(await tested.workerPool.ended, 1)
    assert.equal(tested.failures.length, 1)
    assert.match(tested.failures[0] ?? '', failure)
  })
}

test('a worker pool can be woken and stopped at any time: while it starts, while its workers end, and afterwards', async () => {
  const wakes = wakeCount()
  for (const stopAfterMs of [0, 5, 20, 40, 60, 80]) {
    await using tested = new TestPool('work', 'work', 'work')
    const { workerPool } = tested
    const stopAt = performance.now() + stopAfterMs
    let hasEnded = false
    const harass = (): void => {
      workerPool.wake()
      if (performance.now() >= stopAt) workerPool.stop()
      if (!hasEnded) setImmediate(harass)
    }
    harass()
    await workerPool.ready
    assert.equal(await workerPool.ended, 0)
    workerPool.wake()
    hasEnded = true
    assert.deepEqual(tested.failures, [])
  }
  assert.ok(wakeCount() <= wakes, 'descriptors were left behind')
})
