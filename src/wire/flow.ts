/** A flow identifies a connection by the addresses and ports of both ends. */

/** The addresses of a packet, in its own direction. */
export interface Endpoints {
  readonly fromAddress: number
  readonly fromPort: number
  readonly toAddress: number
  readonly toPort: number
}

/** The flow of a copy or a route: a client and a target. */
export interface CopiedFlow {
  readonly clientAddress: number
  readonly clientPort: number
  readonly targetAddress: number
  readonly targetPort: number
}

/**
 * A client and a server, which is the source or a target. Addresses are int32, as in `Segment`. Each owner reuses one
 * object, so that no look-up or message allocates. A function that takes a flow must not keep it.
 */
export class Flow {
  clientAddress = 0
  clientPort = 0
  serverAddress = 0
  serverPort = 0

  set(clientAddress: number, clientPort: number, serverAddress: number, serverPort: number): this {
    this.clientAddress = clientAddress
    this.clientPort = clientPort
    this.serverAddress = serverAddress
    this.serverPort = serverPort
    return this
  }

  /** The flow of a packet that the client sent. */
  fromClient({ fromAddress, fromPort, toAddress, toPort }: Endpoints): this {
    return this.set(fromAddress, fromPort, toAddress, toPort)
  }

  /** The flow of a packet that the server sent. */
  fromServer({ fromAddress, fromPort, toAddress, toPort }: Endpoints): this {
    return this.set(toAddress, toPort, fromAddress, fromPort)
  }

  toTarget({ clientAddress, clientPort, targetAddress, targetPort }: CopiedFlow): this {
    return this.set(clientAddress, clientPort, targetAddress, targetPort)
  }

  /** Both ports in one int32, as tables store them: the client's in the upper half. */
  get ports(): number {
    return (this.clientPort << 16) | this.serverPort
  }

  /** @param ports as `ports` gives them */
  unpack(clientAddress: number, serverAddress: number, ports: number): this {
    return this.set(clientAddress, ports >>> 16, serverAddress, ports & 0xffff)
  }
}
