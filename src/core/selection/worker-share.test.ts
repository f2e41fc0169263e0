import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { PortsPool } from './ports-pool.ts'
import { ALL_FLOWS, Sampling, WHOLE } from './sampling.ts'
import { workerOf } from './worker-share.ts'

const target = { targetAddress: 0x0a000003, targetPort: 80 }

test('consecutive ports, and every second one, spread evenly over the workers', () => {
  for (let workers = 1; workers <= 16; workers++) {
    for (const step of [1, 2]) {
      for (const first of [32_768, 40_001, 49_152]) {
        const counts = new Array<number>(workers).fill(0)
        for (let index = 0; index < 100 * workers; index++) {
          const worker = workerOf(first + index * step, workers)
          counts[worker] = (counts[worker] ?? 0) + 1
        }
        const unlike = counts.filter((count) => Math.abs(count - 100) > 10)
        assert.deepEqual(unlike, [], `${workers} workers, ports from ${first}, step ${step}`)
      }
    }
  }
})

test('ports given out by different workers never collide, whatever the client and the number of copies', () => {
  const step = fc.record({
    port: fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 40_000, max: 40_020 })),
    copy: fc.nat(3)
  })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 200 }), (workers, steps) => {
      const pools = Array.from({ length: workers }, (_, worker) => new PortsPool(0, { worker, workers }))
      const given = new Set<number>()
      for (const { port, copy } of steps) {
        const worker = workerOf(port, workers)
        const pool = pools[worker]
        assert.ok(pool)
        const clientPort = copy === 0 ? pool.forClient(1, port, target) : pool.forCopy(1, port, copy, target)
        assert.equal(workerOf(clientPort, workers), worker)
        assert.ok(!given.has(clientPort), `${clientPort} was given twice`)
        given.add(clientPort)
        pool.take({ clientAddress: 1, clientPort, ...target }, 0)
      }
    }),
    // Each run makes pools, which count their ports.
    { numRuns: 30 }
  )
})

test('a worker whose ports are all taken gives out none', () => {
  const workers = 3
  let total = 0
  for (let worker = 0; worker < workers; worker++) {
    const pool = new PortsPool(0, { worker, workers })
    for (;;) {
      const clientPort = pool.forCopy(1, 1000, total + 1, target)
      if (clientPort === 0) break
      pool.take({ clientAddress: 1, clientPort, ...target }, 0)
      total += 1
    }
    assert.equal(pool.forClient(1, 40_000, target), 0)
  }
  assert.equal(total, 64_512)
})

test('threads that ask at the same time get exactly the share that one thread would get', {
  timeout: 60_000
}, async () => {
  const threads = 3
  const questions = 200_000
  const words = new Int32Array(new SharedArrayBuffer(Sampling.length * 4))
  const script = `
    import { parentPort, workerData } from 'node:worker_threads'
    import { Sampling } from ${JSON.stringify(new URL('./sampling.js', import.meta.url).href)}
    const { words, selection, questions } = workerData
    const sampling = new Sampling(selection, 0, words)
    let copied = 0
    let copies = 0
    for (let index = 0; index < questions; index++) {
      if (sampling.refusal(true, 0) !== 0) continue
      copied += 1
      copies += sampling.copies()
    }
    parentPort.postMessage({ copied, copies })`
  const url = new URL(`data:text/javascript,${encodeURIComponent(script)}`)
  const selection = { ...ALL_FLOWS, share: WHOLE * 0.3, copies: WHOLE * 2.5 }
  const answers = await Promise.all(
    Array.from({ length: threads }, () => {
      const worker = new Worker(url, { workerData: { words, selection, questions } })
      return new Promise<{ copied: number; copies: number }>((resolve, reject) => {
        worker.once('message', resolve)
        worker.once('error', reject)
      })
    })
  )
  const copied = answers.reduce((sum, answer) => sum + answer.copied, 0)
  assert.equal(copied, (threads * questions * 3) / 10)
  assert.equal(
    answers.reduce((sum, answer) => sum + answer.copies, 0),
    copied * 2.5
  )
})
