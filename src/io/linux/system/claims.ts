/** Claims that one process at a time can hold. The kernel releases them when the process ends, however it ends. */
import { AF_UNIX, bind, close, Errno, errno, errnoMessage, flock, SOCK_CLOEXEC, SOCK_DGRAM, socket } from './libc.ts'
import { allocate } from './memory.ts'

/** Most bytes of an abstract name: sun_path without its first byte, unix(7). */
const NAME_LENGTH_MAX = 107
const PATH_AT = 2
const LOCK_EX = 2
const LOCK_NB = 4

/**
 * Claims a name among the processes of this network namespace, by binding a socket to it: an abstract address of
 * unix(7), which belongs to the namespace and leaves no file.
 * @param name ASCII, at most 107 bytes
 * @returns the descriptor that holds the claim; undefined if another process has it
 */
export function claimName(name: string): number | undefined {
  const bytes = Buffer.from(name, 'latin1')
  if (bytes.length > NAME_LENGTH_MAX) throw new RangeError(`name too long: ${name}`)
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
  if (fd < 0) throw new Error(`cannot open a socket: ${errnoMessage(errno())}`)
  const length = PATH_AT + 1 + bytes.length
  const address = allocate((length + 3) & ~3)
  address.words[0] = AF_UNIX
  address.bytes.set(bytes, PATH_AT + 1)
  if (bind(fd, address.address, length) === 0) return fd
  const error = errno()
  close(fd)
  if (error === Errno.EADDRINUSE) return undefined
  throw new Error(`cannot claim the name ${name}: ${errnoMessage(error)}`)
}

/** Locks an open file until it is closed. @returns false if another process has locked it */
export function lockFile(fd: number): boolean {
  return flock(fd, LOCK_EX | LOCK_NB) === 0 || errno() !== Errno.EWOULDBLOCK
}
