/** Non-blocking TCP connections and listeners, watched by a Poller. tcp(7) */
import { OperatorError } from '../../../errors.ts'
import type { Listener, Network, Stream } from '../../../ports.ts'
import { isIpv6 } from '../../../wire/address-book.ts'
import { copyBytes, int32At } from '../../../wire/bytes.ts'
import {
  AF_INET,
  AF_INET6,
  accept4,
  bind,
  close,
  connect,
  Errno,
  errno,
  errnoMessage,
  eventfd,
  getsockname,
  getsockopt,
  listen,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  recv,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  send,
  socket
} from '../system/libc.ts'
import { allocate, type Block } from '../system/memory.ts'
import { POLLIN, POLLOUT, type Poller } from '../system/poller.ts'
import { formatInetAddress, INET6_ADDRESS_LENGTH, inetPort, putInetAddress, setOption } from './socket.ts'

const SO_REUSEADDR = 2
const SO_KEEPALIVE = 9
const IPPROTO_TCP = 6
const TCP_NODELAY = 1
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const TCP_KEEPIDLE = 4
const TCP_KEEPINTVL = 5
const TCP_KEEPCNT = 6
const TCP_INFO = 11
const TCP_USER_TIMEOUT = 18

/** A peer that disappears silently is detected after 30 s, idle or not, connected or connecting. */
const KEEPALIVE_IDLE_S = 15
const KEEPALIVE_INTERVAL_S = 5
const KEEPALIVE_COUNT = 3
const USER_TIMEOUT_MS = 30_000

const BACKLOG = 1024
const INPUT_LENGTH_DEFAULT = 0x10000

/** Buffer between JavaScript's bytes, which may move, and send(2). Shared, since a thread sends one thing at a time. */
const output = allocate(0x4000)
/** The start of tcp_info, up to tcpi_min_rtt, followed by its length. */
const LEAST_ROUND_TRIP_WORD = 37
const INFORMATION_LENGTH = (LEAST_ROUND_TRIP_WORD + 1) * 4
const INFORMATION_LENGTH_WORD = INFORMATION_LENGTH >>> 2
const information = allocate(INFORMATION_LENGTH + 4)
/** A sockaddr_in or sockaddr_in6, followed by its length. */
const address = allocate(INET6_ADDRESS_LENGTH + 4)
const ADDRESS_LENGTH_WORD = INET6_ADDRESS_LENGTH >>> 2

function configure(fd: number): void {
  setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1)
  setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
  setOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
  setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
  setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT)
  setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
}

/** A connection, created by LinuxNetwork or TcpListener. */
class TcpStream implements Stream {
  readonly peer: string
  readonly input: Uint8Array
  inputLength = 0
  open: boolean
  failure = ''
  readonly #fd: number
  readonly #poller: Poller
  readonly #input: Block
  /** The destination, while connecting. */
  readonly #target: Block
  #isEnded = false
  #isClosed = false
  #wantsRoom = false

  /**
   * @param fd a non-blocking socket, owned by the stream; −1: there is none, and `failure` says why
   * @param target the peer's sockaddr, owned by the stream
   */
  constructor(fd: number, target: Block, poller: Poller, inputLength: number, open: boolean, failure: string) {
    this.peer = formatInetAddress(target)
    this.#input = allocate((inputLength + 3) & ~3)
    this.input = this.#input.bytes
    this.open = open
    this.#fd = fd
    this.#poller = poller
    this.#target = target
    this.failure = failure
    // Watch it even after an immediate failure: this wakes its owner, who learns of it from `read`.
    if (fd >= 0) poller.add(fd, open ? POLLIN : POLLOUT)
  }

  read(): number {
    if (this.#isEnded) return -1
    if (this.failure !== '') return this.#end(this.failure)
    // Skip the system call if nothing happened: it would be most of the cost of a loop.
    if (!this.#poller.wasReady(this.#fd)) return 0
    if (!this.open && !this.#finishConnect()) return this.#isEnded ? -1 : 0
    const room = this.input.length - this.inputLength
    if (room === 0) return 0 // a recv of 0 bytes would look like the end
    const length = recv(this.#fd, this.#input.address + this.inputLength, room, MSG_DONTWAIT)
    if (length > 0) {
      this.inputLength += length
      return length
    }
    return length === 0 ? this.#end('') : this.#fail(errno())
  }

  write(bytes: Uint8Array, at: number, length: number): number {
    if (this.#isEnded) return -1
    if (!this.open) return 0
    let done = 0
    while (done < length) {
      const part = Math.min(length - done, output.bytes.length)
      copyBytes(bytes, at + done, output.bytes, 0, part)
      const sent = send(this.#fd, output.address, part, MSG_DONTWAIT | MSG_NOSIGNAL)
      if (sent < 0) return this.#fail(errno()) < 0 ? -1 : done
      done += sent
      if (sent < part) break
    }
    return done
  }

  /**
   * @inheritDoc Minimum over the last five minutes, with the handshake: tcpi_min_rtt (linux/tcp.h), in microseconds.
   */
  leastRoundTripMs(): number {
    information.words[INFORMATION_LENGTH_WORD] = INFORMATION_LENGTH
    const at = information.address
    if (!this.open || getsockopt(this.#fd, IPPROTO_TCP, TCP_INFO, at, at + INFORMATION_LENGTH) !== 0) return 0
    const isThere = int32At(information.words, INFORMATION_LENGTH_WORD) === INFORMATION_LENGTH
    const microseconds = int32At(information.words, LEAST_ROUND_TRIP_WORD)
    // −1: not measured yet.
    return isThere && microseconds > 0 ? microseconds / 1000 : 0
  }

  awaitWritable(wanted: boolean): void {
    this.#wantsRoom = wanted
    if (this.open && !this.#isEnded) this.#poller.setEvents(this.#fd, wanted ? POLLIN | POLLOUT : POLLIN)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.open = false
    this.#isEnded = true
    if (this.#fd < 0) return
    this.#poller.remove(this.#fd)
    close(this.#fd)
  }

  /** A repeated connect returns its state. @returns whether the connection is established */
  #finishConnect(): boolean {
    const error = connect(this.#fd, this.#target.address, INET6_ADDRESS_LENGTH) === 0 ? Errno.EISCONN : errno()
    if (error === Errno.EALREADY || error === Errno.EINPROGRESS || error === Errno.EINTR) return false
    if (error !== Errno.EISCONN) {
      this.#end(errnoMessage(error))
      return false
    }
    this.open = true
    this.awaitWritable(this.#wantsRoom)
    return true
  }

  /** @returns 0 if the call must be repeated later, −1 if the connection has ended */
  #fail(error: number): number {
    return error === Errno.EAGAIN || error === Errno.EINTR ? 0 : this.#end(errnoMessage(error))
  }

  /** Stops watching a connection that has ended; otherwise it would end every wait until its owner closes it. */
  #end(failure: string): number {
    this.failure = failure
    this.open = false
    this.#isEnded = true
    this.#poller.remove(this.#fd)
    return -1
  }
}

/** Opens connections. */
export class LinuxNetwork implements Network {
  readonly #poller: Poller
  readonly #inputLength: number

  /** @param inputLength bytes of each stream's input buffer */
  constructor(poller: Poller, inputLength: number = INPUT_LENGTH_DEFAULT) {
    this.#poller = poller
    this.#inputLength = inputLength
  }

  /** @inheritDoc Never throws: immediate failures also appear in `read`. */
  connect(targetAddress: number, port: number): Stream {
    const target = allocate(INET6_ADDRESS_LENGTH)
    putInetAddress(target, targetAddress, port)
    const fd = socket(isIpv6(targetAddress) ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if (fd < 0) return new TcpStream(fd, target, this.#poller, this.#inputLength, false, errnoMessage(errno()))
    configure(fd)
    const error = connect(fd, target.address, INET6_ADDRESS_LENGTH) === 0 ? 0 : errno()
    const failure = error === 0 || error === Errno.EINPROGRESS ? '' : errnoMessage(error)
    return new TcpStream(fd, target, this.#poller, this.#inputLength, error === 0, failure)
  }
}

/** Where to listen. */
export interface TcpListenerOptions {
  /** 0: every address, with IPv6 if the host has it. */
  readonly address: number
  /** 0: the system chooses one. */
  readonly port: number
  /** Bytes of each stream's input buffer. Default: 64 KiB. */
  readonly inputLength?: number
  /** A socket of `listenOn` from which other threads accept too; its owner closes it. Default: a new socket. */
  readonly shared?: number
}

function listenError(place: string, error: number): Error {
  const message = `cannot listen on ${place}: ${errnoMessage(error)}`
  const cause = { cause: errnoMessage(error) }
  if (error === Errno.EADDRINUSE)
    return new OperatorError(
      'port-in-use',
      message,
      'Stop the other program (ss -ltnp shows it), or use another port.',
      cause
    )
  if (error === Errno.EADDRNOTAVAIL)
    return new OperatorError('no-address', message, 'Use an address of this host (ip address lists them).', cause)
  if (error === Errno.EACCES || error === Errno.EPERM)
    return new OperatorError('no-privilege', message, 'Use port 1024 or higher, or grant CAP_NET_BIND_SERVICE.', cause)
  return new Error(message, cause)
}

/** Opens a socket for every address or for one, and writes the sockaddr to bind it to into `address`. */
function openListener(options: TcpListenerOptions): number {
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC
  const isIpv4Only = options.address !== 0 && !isIpv6(options.address)
  const dual = isIpv4Only ? -1 : socket(AF_INET6, type, 0)
  const fd = dual >= 0 || isIpv6(options.address) ? dual : socket(AF_INET, type, 0)
  if (fd < 0) throw new Error(`cannot open a socket: ${errnoMessage(errno())}`)
  setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
  putInetAddress(address, options.address, options.port)
  if (dual < 0 || options.address !== 0) return fd
  setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)
  address.words.fill(0, 0, INET6_ADDRESS_LENGTH >>> 2)
  putInetAddress(address, 0, options.port)
  address.words[0] = int32At(address.words, 0) + AF_INET6 - AF_INET
  return fd
}

/**
 * @returns a listening socket, which the caller closes
 * @throws OperatorError `port-in-use`, `no-address`, `no-privilege`
 */
export function listenOn(options: TcpListenerOptions): number {
  const fd = openListener(options)
  if (bind(fd, address.address, INET6_ADDRESS_LENGTH) === 0 && listen(fd, BACKLOG) === 0) return fd
  const error = errno()
  close(fd)
  throw listenError(formatInetAddress(address), error)
}

/** Accepts connections. */
export class TcpListener implements Listener {
  /** The port in use. */
  readonly port: number
  /** Connections closed immediately because the process had no free descriptor. */
  refusedCount = 0
  readonly #fd: number
  readonly #isShared: boolean
  readonly #poller: Poller
  readonly #inputLength: number
  /** A spare descriptor to release when there is no other. */
  #spare: number
  #isOpen = true

  /** @throws OperatorError `port-in-use`, `no-address`, `no-privilege` */
  constructor(poller: Poller, options: TcpListenerOptions) {
    this.#poller = poller
    this.#inputLength = options.inputLength ?? INPUT_LENGTH_DEFAULT
    const fd = options.shared ?? listenOn(options)
    this.#isShared = options.shared !== undefined
    address.words[ADDRESS_LENGTH_WORD] = INET6_ADDRESS_LENGTH
    getsockname(fd, address.address, address.address + INET6_ADDRESS_LENGTH)
    this.port = inetPort(address)
    this.#fd = fd
    this.#spare = eventfd(0, SOCK_CLOEXEC)
    poller.add(fd, POLLIN)
  }

  /** @inheritDoc Skips connections that ended while they waited. */
  accept(): Stream | undefined {
    if (!this.#poller.wasReady(this.#fd)) return undefined
    for (let tries = 0; tries < BACKLOG; tries++) {
      const peer = allocate(INET6_ADDRESS_LENGTH + 4)
      peer.words[ADDRESS_LENGTH_WORD] = INET6_ADDRESS_LENGTH
      const fd = accept4(this.#fd, peer.address, peer.address + INET6_ADDRESS_LENGTH, SOCK_NONBLOCK | SOCK_CLOEXEC)
      if (fd >= 0) {
        configure(fd)
        return new TcpStream(fd, peer, this.#poller, this.#inputLength, true, '')
      }
      const error = errno()
      if (error === Errno.EMFILE || error === Errno.ENFILE) {
        if (!this.#refuse()) return undefined
      } else if (error !== Errno.ECONNABORTED && error !== Errno.EINTR) return undefined
    }
    return undefined
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#poller.remove(this.#fd)
    if (!this.#isShared) close(this.#fd)
    if (this.#spare >= 0) close(this.#spare)
  }

  /**
   * Refuses a connection that cannot be accepted; otherwise it would end every wait. @returns whether one was refused
   */
  #refuse(): boolean {
    if (this.#spare >= 0) close(this.#spare)
    const fd = accept4(this.#fd, 0, 0, SOCK_CLOEXEC)
    if (fd >= 0) {
      close(fd)
      this.refusedCount++
    }
    this.#spare = eventfd(0, SOCK_CLOEXEC)
    return fd >= 0
  }
}
