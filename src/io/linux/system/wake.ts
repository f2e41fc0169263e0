/** A descriptor that wakes another thread's `Poller`. eventfd(2) */
import { writeSync } from 'node:fs'
import { errno, errnoMessage, eventfd, SOCK_CLOEXEC, SOCK_NONBLOCK } from './libc.ts'

/** A 64-bit integer that the kernel adds to the counter. */
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer)

/** @returns the descriptor, which the caller closes when no thread writes to it any more */
export function openWake(): number {
  const fd = eventfd(0, SOCK_NONBLOCK | SOCK_CLOEXEC)
  if (fd < 0) throw new Error(`cannot create an eventfd: ${errnoMessage(errno())}`)
  return fd
}

/** Ends the current wait, or the next one. */
export function wake(fd: number): void {
  writeSync(fd, ONE)
}
