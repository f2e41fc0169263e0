/**
 * The C library. No other file loads it.
 *
 * Pointers are numbers: user-space addresses fit in 47 bits. Functions return what the manual pages say: −1 for an
 * error, whose number `errno()` holds until the next call.
 */
import { constants } from 'node:os'
import { getSystemErrorMap, getSystemErrorName } from 'node:util'
import koffi from 'koffi'

// libc, glibc or musl, is already part of the running program.
const library = koffi.load(null)

type Call2 = (a: number, b: number) => number
type Call3 = (a: number, b: number, c: number) => number
type Call4 = (a: number, b: number, c: number, d: number) => number
type Call5 = (a: number, b: number, c: number, d: number, e: number) => number
type Call6 = (a: number, b: number, c: number, d: number, e: number, f: number) => number

/** socket(2): domain, type, protocol. */
export const socket: Call3 = library.func('int socket(int, int, int)')
/** bind(2): descriptor, sockaddr, its length. */
export const bind: Call3 = library.func('int bind(int, uintptr_t, uint32_t)')
/** listen(2): descriptor, backlog. */
export const listen: Call2 = library.func('int listen(int, int)')
/** accept4(2): descriptor, sockaddr or 0, address of its length or 0, flags. */
export const accept4: Call4 = library.func('int accept4(int, uintptr_t, uintptr_t, int)')
/** connect(2): descriptor, sockaddr, its length. */
export const connect: Call3 = library.func('int connect(int, uintptr_t, uint32_t)')
/** getsockname(2): descriptor, sockaddr, address of its length. */
export const getsockname: Call3 = library.func('int getsockname(int, uintptr_t, uintptr_t)')
/** setsockopt(2): descriptor, level, option, value, its length. */
export const setsockopt: Call5 = library.func('int setsockopt(int, int, int, uintptr_t, uint32_t)')
/** getsockopt(2): descriptor, level, option, value, address of its length. */
export const getsockopt: Call5 = library.func('int getsockopt(int, int, int, uintptr_t, uintptr_t)')
/** mmap(2): address, length, protection, flags, descriptor, offset. MAP_FAILED is not a safe integer (a bigint). */
export const mmap: Call6 = library.func('uintptr_t mmap(uintptr_t, size_t, int, int, int, long)')
/** munmap(2): address, length. */
export const munmap: Call2 = library.func('int munmap(uintptr_t, size_t)')
/** memcpy(3): to, from, length. */
export const memcpy: Call3 = library.func('uintptr_t memcpy(uintptr_t, uintptr_t, size_t)')
/** poll(2) with a timespec: pollfds, their count, timespec or 0, signal mask (0). */
export const ppoll: Call4 = library.func('int ppoll(uintptr_t, unsigned long, uintptr_t, uintptr_t)')
/** sendmmsg(2): descriptor, mmsghdrs, their count, flags. */
export const sendmmsg: Call4 = library.func('int sendmmsg(int, uintptr_t, unsigned int, int)')
/** recvmmsg(2): descriptor, mmsghdrs, their count, flags, timespec or 0. */
export const recvmmsg: Call5 = library.func('int recvmmsg(int, uintptr_t, unsigned int, int, uintptr_t)')
/** recv(2): descriptor, address, length, flags. */
export const recv: Call4 = library.func('long recv(int, uintptr_t, size_t, int)')
/** recvfrom(2): descriptor, address, length, flags, sockaddr, address of its length. */
export const recvfrom: Call6 = library.func('long recvfrom(int, uintptr_t, size_t, int, uintptr_t, uintptr_t)')
/** send(2): descriptor, address, length, flags. */
export const send: Call4 = library.func('long send(int, uintptr_t, size_t, int)')
/** read(2): descriptor, address, length. */
export const read: Call3 = library.func('long read(int, uintptr_t, size_t)')
/** flock(2): descriptor, operation. */
export const flock: Call2 = library.func('int flock(int, int)')
/** close(2). */
export const close: (fd: number) => number = library.func('int close(int)')
/** clock_gettime(2): clock, timespec. */
export const clockGettime: Call2 = library.func('int clock_gettime(int, uintptr_t)')
/** eventfd(2): initial value, flags. */
export const eventfd: Call2 = library.func('int eventfd(unsigned int, int)')
/**
 * ioctl(2): descriptor, request, argument. Variadic in C, which makes no difference in the ABIs of x86-64 and arm64
 * Linux.
 */
export const ioctl: Call3 = library.func('int ioctl(int, unsigned long, uintptr_t)')
/** if_nametoindex(3): 0 if there is no such device. */
export const ifNameToIndex: (name: string) => number = library.func('unsigned int if_nametoindex(const char *)')
/** if_indextoname(3): index, buffer of IF_NAMESIZE bytes; 0 if there is no such device. */
export const ifIndexToName: Call2 = library.func('uintptr_t if_indextoname(unsigned int, uintptr_t)')

/** The error number of the last failed call on this thread. */
export const errno: () => number = koffi.errno

/** The system's error numbers by name. */
export const Errno = constants.errno

/** socket(2), packet(7). */
export const AF_UNIX = 1
export const AF_INET = 2
export const AF_INET6 = 10
export const AF_NETLINK = 16
export const AF_PACKET = 17
export const AF_XDP = 44
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_RAW = 3
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000
/** packet(7). */
export const SOL_PACKET = 263
/** socket(7), asm-generic. */
export const SOL_SOCKET = 1
export const SO_ERROR = 4
export const SO_SNDBUF = 7
export const SO_RCVBUF = 8
export const SO_SNDBUFFORCE = 32
export const SO_RCVBUFFORCE = 33
/** recv(2), send(2). */
export const MSG_TRUNC = 0x20
export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000

/** `EMSGSIZE`, for logs and metrics. */
export function errnoName(errno: number): string {
  return getSystemErrorMap().has(-errno) ? getSystemErrorName(-errno) : `errno ${errno}`
}

/** `message too long (EMSGSIZE)`. */
export function errnoMessage(errno: number): string {
  const entry = getSystemErrorMap().get(-errno)
  return entry === undefined ? `errno ${errno}` : `${entry[1]} (${entry[0]})`
}
