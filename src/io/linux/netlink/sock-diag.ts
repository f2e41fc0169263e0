/** Asks the kernel of this host for the state of a TCP connection. sock_diag(7), linux/inet_diag.h */
import type { OwnAddresses } from '../../../core/selection/own-addresses.ts'
import { type SourceSockets, SourceState } from '../../../core/selection/source-sockets.ts'
import { addressBytes } from '../../../wire/address.ts'
import { int32At, u8 } from '../../../wire/bytes.ts'
import type { Flow } from '../../../wire/flow.ts'
import { TCP } from '../../../wire/segment.ts'
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  close,
  errno,
  errnoMessage,
  MSG_DONTWAIT,
  recv,
  SOCK_CLOEXEC,
  SOCK_RAW,
  send,
  socket
} from '../system/libc.ts'
import { allocate } from '../system/memory.ts'
import { ATTRIBUTE_HEADER, attributeLength, findAttribute } from './netlink.ts'

const NETLINK_SOCK_DIAG = 4
const SOCK_DIAG_BY_FAMILY = 20
const NLM_F_REQUEST = 1
/** nlmsghdr, inet_diag_req_v2. */
const HEADER_LENGTH = 16
const REQUEST_LENGTH = HEADER_LENGTH + 56
/** Offsets in the request. */
const FAMILY_AT = HEADER_LENGTH
const SOURCE_PORT_AT = 24
const SOURCE_ADDRESS_AT = 28
const CLIENT_ADDRESS_AT = 44
const COOKIE_AT = 64
/** Asks for INET_DIAG_INFO. */
const WITH_INFO = 1 << 1
/** Offset of the state in the reply, and where its attributes begin: after inet_diag_msg. */
const STATE_AT = HEADER_LENGTH + 1
const ATTRIBUTES_AT = HEADER_LENGTH + 72
const INET_DIAG_INFO = 2
/** Offset of tcpi_bytes_received in tcp_info. */
const BYTES_RECEIVED_AT = 128
const REPLY_LENGTH = 1024
/** Kernel states of a connection, as in tcp_states.h. */
const TCP_SYN_SENT = 2
const TCP_SYN_RECV = 3
const TCP_CLOSE = 7
const TCP_LISTEN = 10
const TCP_NEW_SYN_RECV = 12

export class SockDiag implements SourceSockets {
  receivedBytes = Number.NaN
  readonly #fd: number
  readonly #own: Pick<OwnAddresses, 'has'>
  readonly #request = allocate(REQUEST_LENGTH)
  readonly #reply = allocate(REPLY_LENGTH)

  /**
   * @param own the kernel is asked for connections to these addresses only: to others, it has none and a listener on all
   * addresses does not mean that it serves them
   * @throws Error if the kernel has no sock_diag
   */
  constructor(own: Pick<OwnAddresses, 'has'>) {
    this.#own = own
    this.#fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
    if (this.#fd < 0) throw new Error(`cannot ask the kernel for connections: ${errnoMessage(errno())}`)
    const { words, bytes } = this.#request
    words.set([REQUEST_LENGTH, SOCK_DIAG_BY_FAMILY | (NLM_F_REQUEST << 16)])
    bytes[FAMILY_AT + 1] = TCP
    bytes[FAMILY_AT + 2] = WITH_INFO
    words[(FAMILY_AT + 4) >>> 2] = -1 // any state
    words.fill(-1, COOKIE_AT >>> 2) // INET_DIAG_NOCOOKIE
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
    bytes[FAMILY_AT] = client.length === 16 ? AF_INET6 : AF_INET
    bytes[SOURCE_PORT_AT] = serverPort >>> 8
    bytes[SOURCE_PORT_AT + 1] = serverPort
    bytes[SOURCE_PORT_AT + 2] = clientPort >>> 8
    bytes[SOURCE_PORT_AT + 3] = clientPort
    bytes.set(addressBytes(serverAddress), SOURCE_ADDRESS_AT)
    bytes.set(client, CLIENT_ADDRESS_AT)
    send(this.#fd, address, REQUEST_LENGTH, 0)
  }

  #stateIn(length: number): SourceState {
    const state = u8(this.#reply.bytes, STATE_AT)
    if (state === TCP_SYN_RECV || state === TCP_NEW_SYN_RECV) return SourceState.HalfOpen
    // Its reply is a listener if there is no connection.
    if (state === TCP_LISTEN || state === TCP_CLOSE || state === TCP_SYN_SENT) return SourceState.None
    this.receivedBytes = this.#receivedIn(length)
    return SourceState.Connected
  }

  #receivedIn(length: number): number {
    const { words } = this.#reply
    const infoAt = findAttribute(words, ATTRIBUTES_AT, length, INET_DIAG_INFO)
    if (infoAt === 0) return Number.NaN
    const infoLength = attributeLength(this.#reply.bytes, infoAt - ATTRIBUTE_HEADER) - ATTRIBUTE_HEADER
    if (infoLength < BYTES_RECEIVED_AT + 8) return Number.NaN
    const at = infoAt + BYTES_RECEIVED_AT
    return (int32At(words, at >>> 2) >>> 0) + (int32At(words, (at >>> 2) + 1) >>> 0) * 2 ** 32
  }
}
