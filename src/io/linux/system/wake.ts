/** A descriptor by which any thread wakes another one's `Poller`. eventfd(2) */
import { writeSync } from 'node:fs'
import { errno, errnoMessage, eventfd, SOCK_CLOEXEC, SOCK_NONBLOCK } from './libc.ts'

/** A 64-bit integer, which the kernel adds to the descriptor's. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer)

/** @returns the descriptor, which the caller closes when nobody writes to it any more */
export function openWake(): number {
  const fd = eventfd(0, SOCK_NONBLOCK | SOCK_CLOEXEC)
  if (fd < 0) throw new Error(`cannot create an eventfd: ${errnoMessage(errno())}`)
  return fd
}

/** The wait that goes on ends, or the next one. */
export function wake(fd: number): void {
  writeSync(fd, ONE)
}
