/** A program for the source of the lab that runs instead of tcpcopy; see floor-worker.ts. floor.js PORT TARGET */
import { writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { parseAddress } from '../../src/wire/address.ts'
import type { FloorData } from './floor-worker.ts'

const [, , port, target] = process.argv
const control = new SharedArrayBuffer(4)
const workerData: FloorData = { port: Number(port), target: parseAddress(target ?? '') ?? 0, control }
const worker = new Worker(new URL('./floor-worker.js', import.meta.url), { workerData })

worker.on('message', (message: Readonly<Record<string, number>>) => {
  // First the descriptor that wakes the worker; at the end its counters.
  const { wake } = message
  console.log(wake === undefined ? JSON.stringify(message) : 'ready')
  if (wake === undefined) return
  process.on('SIGTERM', () => {
    Atomics.store(new Int32Array(control), 0, 1)
    writeSync(wake, new Uint8Array(new BigUint64Array([1n]).buffer))
  })
})
