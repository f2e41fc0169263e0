/**
 * The ports: everything that the daemons need from outside, as types. `io/` implements them on Linux, `sim/` in memory.
 *
 * One thread drives each of them in a loop: wait, take a batch, step, flush a batch. Only `Waiter` blocks.
 */
import type { Outbox } from './core/packets/outbox.ts'

/** An instant on the monotonic clock, in milliseconds with fractions. */
export type Millis = number

export interface Clock {
  now(): Millis
  /**
   * The time of day, in ms since 1970, at which this clock was 0. Subtracted from a time of day, it gives an instant.
   * It changes when somebody sets the time of day, and costs a system call. Absent: there is no time of day.
   */
  epoch?(): Millis
}

/** What the capture knows about the checksum of a segment. */
export const ChecksumState = {
  /** Nothing. It must be verified. */
  Unknown: 0,
  /** It is verified (TP_STATUS_CSUM_VALID). */
  Valid: 1,
  /**
   * It is not filled in, because the packet did not leave the host (TP_STATUS_CSUMNOTREADY). The bytes can be trusted.
   */
  Partial: 2,
  /** The packet was captured elsewhere or inside a tunnel, so it may be valid, left to the network card, or wrong. */
  Filed: 3
} as const
export type ChecksumState = (typeof ChecksumState)[keyof typeof ChecksumState]

/**
 * Takes one IP packet. The bytes belong to the capture and are valid only during the call.
 * @param at where the IP header begins
 * @param capturedLength bytes present from `at`
 * @param wireLength bytes of the packet on the wire, from `at`; more than `capturedLength` if it was truncated
 */
export type PacketSink = (
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  wireLength: number,
  checksum: ChecksumState
) => void

export interface Capture {
  /** Starts a held capture, which delivers no packets before. Absent: the capture is not held. */
  begin?(): void
  /** Passes up to `packetsMax` waiting packets to `sink`, without blocking. @returns how many it passed */
  receive(sink: PacketSink, packetsMax: number): number
  /** Packets lost since the start because there was no space for them. */
  dropped(): number
  /** So much waits that packets may soon be lost, so `receive` must be called before anything else. Absent: never. */
  isFilling?(): boolean
  /** Packets that the capture let through without passing them to a sink, if it intercepts packets on their path. */
  passed?(): number
  /** Passes every IPv6 address that it remembers beyond a call to `take`. Absent: there are none. */
  eachAddress?(take: (address: number) => void): void
  /** While the sink has a packet: when the kernel captured it, in ms since 1970. Absent: unknown. */
  readonly capturedAtMs?: number
  /** When to call `receive` although nothing wakes the waiter. Absent or Infinity: never. */
  readonly deadline?: Millis
  /** At the end: counts fragments whose packets are incomplete. It closes nothing. `close` counts them too. */
  finish?(): void
  close(): void
}

/** A capture that knows when each packet was captured. */
export type TimedCapture = Capture & Required<Pick<Capture, 'capturedAtMs'>>

/** A capture that delivers nothing until `begin`. */
export type HeldCapture = Capture & Required<Pick<Capture, 'begin'>>

export interface PacketSender {
  /** Sends all frames of `outbox` and empties it. Refused frames are counted by errno, never thrown. */
  flush(outbox: Outbox): void
  /** Whether frames for this target may be super-packets. Changes only in `refresh`. */
  canSegment(targetAddress: number): boolean
  /** The path MTU to this target, in bytes; 0: unknown. */
  mtu(targetAddress: number): number
  /** Checks whether the routes to the targets have changed. To be called once a second, with an empty outbox. */
  refresh(): void
  /** Packets that the kernel accepted. */
  readonly sentCount: number
  /** Packets refused, by errno. */
  readonly refused: ReadonlyMap<number, number>
  close(): void
}

/** A connected or connecting TCP connection that never blocks. */
export interface Stream {
  /** The peer's address and port, for messages: `10.77.0.3:36524`. */
  readonly peer: string
  /** True once the connection is established. */
  readonly open: boolean
  /**
   * Its first `inputLength` bytes are received. The owner removes what it has read, and moves the rest to the front.
   */
  readonly input: Uint8Array
  inputLength: number
  /**
   * Reads what has arrived into `input`, after `inputLength`. Also completes a connect.
   * @returns bytes added; 0: nothing now; −1: the connection has ended or failed (see `failure`), close it
   */
  read(): number
  /** @returns bytes accepted; 0: the peer does not read, or the connection is not open yet; −1: it has ended */
  write(bytes: Uint8Array, at: number, length: number): number
  /** The shortest recent round trip to the peer, in ms; 0: unknown. Costs a system call. Absent: never known. */
  leastRoundTripMs?(): number
  /** Asks the waiter to wake up when `write` can accept more. */
  awaitWritable(wanted: boolean): void
  /** Why the connection ended, in the words of the operating system; empty if the peer closed it. */
  readonly failure: string
  close(): void
}

export interface Listener {
  /** @returns a new connection, or undefined when none waits */
  accept(): Stream | undefined
  close(): void
}

export interface Network {
  /** Starts to connect; `read` shows the result. @param address int32; for IPv6, its number in the thread's book */
  connect(address: number, port: number): Stream
}

/** A message from one worker of a program to another. Sender and receiver each own and reuse an object. */
export interface PeerMessage {
  type: number
  /** The connection of the channel that the message is about. */
  peer: number
  readonly words: Int32Array
  /** How much of `bytes` is in use. */
  length: number
  readonly bytes: Uint8Array
}

/** Carries messages between the workers of a program, in order for each pair, without blocking. */
export interface Exchange {
  /** Which worker this is, from 0. */
  readonly worker: number
  readonly workers: number
  /** Bytes that fit for each other worker while it reads nothing. A message takes up to 32 bytes more than it holds. */
  readonly room: number
  /** @returns false if the message does not fit */
  send(worker: number, message: PeerMessage): boolean
  /** Takes the next message to whose sender a reply fits. @returns false if there is none */
  take(message: PeerMessage): boolean
  /** Wakes the workers to which something was sent. */
  flush(): void
}

/** Cryptography for the proofs of the channel. */
export interface Cryptography {
  /** Unpredictable bytes. */
  random(length: number): Uint8Array
  /** HMAC-SHA-256 (RFC 2104), 32 bytes. */
  hmac(key: Uint8Array, message: Uint8Array): Uint8Array
  /** Compares two arrays of the same length in constant time. */
  isEqual(one: Uint8Array, other: Uint8Array): boolean
}

/** Blocks until anything that was opened through it is ready. */
export interface Waiter {
  /** @param timeoutMs limit, rounded up to whole milliseconds; 0: does not block; Infinity: no limit */
  wait(timeoutMs: number): void
}

/** A waiter that can also sleep. */
export interface PausingWaiter extends Waiter {
  /** Blocks for this time, rounded up to whole milliseconds, whatever happens meanwhile. */
  pause(ms: number): void
}

/** Logs a change of the daemon's state: a constant message and fields with units. */
export type Log = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: Readonly<Record<string, unknown>>
) => void
