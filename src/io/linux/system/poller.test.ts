import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { close, eventfd, SOCK_NONBLOCK } from './libc.ts'
import { POLLIN, POLLOUT, Poller } from './poller.ts'
import { wake } from './wake.ts'

function elapsed(step: () => void): number {
  const before = performance.now()
  step()
  return performance.now() - before
}

/** A busy machine does not take this long; a mix-up of milliseconds and seconds does. */
const TOO_LONG_MS = 1000

test('a wait lasts as long as asked, fractions included', () => {
  const poller = new Poller()
  assert.ok(elapsed(() => poller.wait(0)) < TOO_LONG_MS)
  for (const timeoutMs of [0.3, 1.5, 20]) {
    const ms = elapsed(() => poller.wait(timeoutMs))
    assert.ok(ms >= timeoutMs && ms < TOO_LONG_MS, `${ms} instead of ${timeoutMs}`)
  }
  poller.close()
})

test('a wake-up before the wait ends the next wait, once', () => {
  const poller = new Poller()
  wake(poller.wakeDescriptor)
  wake(poller.wakeDescriptor)
  poller.wait(Infinity)
  assert.ok(poller.wasReady(poller.wakeDescriptor))
  poller.wait(10)
  assert.ok(!poller.wasReady(poller.wakeDescriptor))
  poller.close()
})

test('a pause lasts as long as asked, and leaves a wake-up to the next wait', () => {
  const poller = new Poller()
  wake(poller.wakeDescriptor)
  const ms = elapsed(() => poller.pause(1.5))
  assert.ok(ms >= 1.5 && ms < TOO_LONG_MS, `${ms} instead of 1.5`)
  poller.wait(Infinity)
  assert.ok(poller.wasReady(poller.wakeDescriptor))
  poller.close()
})

test('another thread wakes a wait without end', async () => {
  const poller = new Poller()
  const worker = new Worker(
    `const { workerData } = require('node:worker_threads')
    setTimeout(() => require('node:fs').writeSync(workerData, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0])), 50)`,
    { eval: true, workerData: poller.wakeDescriptor }
  )
  poller.wait(Infinity)
  assert.ok(poller.wasReady(poller.wakeDescriptor))
  poller.close()
  await worker.terminate()
})

test('of many descriptors only those that are ready are told, in whatever order they come and go', () => {
  const poller = new Poller()
  const fds = Array.from({ length: 500 }, () => eventfd(0, SOCK_NONBLOCK))
  for (const fd of fds) poller.add(fd, POLLIN)
  for (const fd of fds.filter((_, index) => index % 3 === 0)) poller.remove(fd)
  for (const fd of fds.filter((_, index) => index % 3 === 1)) poller.setEvents(fd, POLLIN | POLLOUT)
  poller.wait(Infinity)
  fds.forEach((fd, index) => {
    assert.equal(poller.wasReady(fd), index % 3 === 1)
  })
  for (const fd of fds) {
    poller.remove(fd)
    poller.remove(fd)
    close(fd)
  }
  poller.wait(1)
  assert.ok(!fds.some((fd) => poller.wasReady(fd)))
  poller.close()
})
