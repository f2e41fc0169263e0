/** Asks the kernel of this host for the state of a TCP connection. sock_diag(7), linux/inet_diag.h */
import type { OwnAddresses } from '../../../core/selection/own-addresses.ts'
import { type SourceSockets, SourceState } from '../../../core/selection/source-sockets.ts'
import { addressBytes } from '../../../wire/address.ts'
import { int32At } from '../../../wire/bytes.ts'
import type { Flow } from '../../../wire/flow.ts'
import { TCP } from '../../../wire/segment.ts'
import { AF_INET, AF_INET6, close, errno, errnoMessage, MSG_DONTWAIT, recv, send } from '../system/libc.ts'
import { allocate } from '../system/memory.ts'
import {
  ATTRIBUTES_AT,
  KernelState,
  newRequest,
  openSockDiag,
  putFamily,
  putPort,
  REQUEST_LENGTH,
  SOCK_DIAG_BY_FAMILY,
  SOURCE_PORT_AT,
  stateIn,
  tcpInfoAt
} from './sock-diag-messages.ts'

/** Offsets in the request. */
const SOURCE_ADDRESS_AT = 28
const CLIENT_ADDRESS_AT = 44
const COOKIE_AT = 64
const ANY_STATE = -1
/** Offset of tcpi_bytes_received in tcp_info. */
const BYTES_RECEIVED_AT = 128
const REPLY_LENGTH = 1024
const { SynSent, SynRecv, Close, Listen, NewSynRecv } = KernelState

export class SockDiag implements SourceSockets {
  receivedBytes = Number.NaN
  readonly #fd: number
  readonly #own: Pick<OwnAddresses, 'has'>
  readonly #request = newRequest(TCP, ANY_STATE, false)
  readonly #reply = allocate(REPLY_LENGTH)

  /**
   * @param own the kernel is asked for connections to these addresses only: to others, it has none and a listener on all
   * addresses does not mean that it serves them
   * @throws Error if the kernel has no sock_diag
   */
  constructor(own: Pick<OwnAddresses, 'has'>) {
    this.#own = own
    this.#fd = openSockDiag()
    if (this.#fd < 0) throw new Error(`cannot ask the kernel for connections: ${errnoMessage(errno())}`)
    this.#request.words.fill(-1, COOKIE_AT >>> 2) // INET_DIAG_NOCOOKIE
  }

  stateOf(flow: Flow): SourceState {
    if (!this.#own.has(flow.serverAddress)) return SourceState.Unknown
    this.#ask(flow)
    // The kernel has replied by the time `send` returns.
    const length = recv(this.#fd, this.#reply.address, REPLY_LENGTH, MSG_DONTWAIT)
    // No such connection and no listener either: something else may serve the port, such as a container.
    const isKnown = length >= ATTRIBUTES_AT && (int32At(this.#reply.words, 1) & 0xffff) === SOCK_DIAG_BY_FAMILY
    return isKnown ? this.#stateIn(length) : SourceState.Unknown
  }

  close(): void {
    close(this.#fd)
  }

  #ask({ clientAddress, clientPort, serverAddress, serverPort }: Flow): void {
    const { bytes, address } = this.#request
    const client = addressBytes(clientAddress)
    putFamily(this.#request, client.length === 16 ? AF_INET6 : AF_INET)
    putPort(bytes, SOURCE_PORT_AT, serverPort)
    putPort(bytes, SOURCE_PORT_AT + 2, clientPort)
    bytes.set(addressBytes(serverAddress), SOURCE_ADDRESS_AT)
    bytes.set(client, CLIENT_ADDRESS_AT)
    send(this.#fd, address, REQUEST_LENGTH, 0)
  }

  #stateIn(length: number): SourceState {
    const state = stateIn(this.#reply.bytes, 0)
    if (state === SynRecv || state === NewSynRecv) return SourceState.HalfOpen
    // Its reply is a listener if there is no connection.
    if (state === Listen || state === Close || state === SynSent) return SourceState.None
    this.receivedBytes = this.#receivedIn(length)
    return SourceState.Connected
  }

  #receivedIn(length: number): number {
    const { words } = this.#reply
    const infoAt = tcpInfoAt(this.#reply, 0, length, BYTES_RECEIVED_AT + 8)
    if (infoAt === 0) return Number.NaN
    const at = infoAt + BYTES_RECEIVED_AT
    return (int32At(words, at >>> 2) >>> 0) + (int32At(words, (at >>> 2) + 1) >>> 0) * 2 ** 32
  }
}
