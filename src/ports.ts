/**
 * The interfaces between the daemons and the outside. `io/` implements them on Linux, `sim/` in memory.
 *
 * Each loop is one thread that never yields within a turn: wait, take a batch, step, flush a batch.
 */
import type { Outbox } from './core/packets/outbox.ts'

/** An instant on the monotonic clock, in milliseconds with fractions. */
export type Millis = number

export interface Clock {
  now(): Millis
  /**
   * The time of day, in ms since 1970, at which the clock was 0. Subtract it from a time of day to get an instant. It
   * changes when the time of day is set, and costs a system call. Absent: there is no time of day.
   */
  epoch?(): Millis
}

/** What the capture knows about a segment's checksum. */
export const ChecksumState = {
  /** It must be verified. */
  Unknown: 0,
  /** It was verified (TP_STATUS_CSUM_VALID). */
  Valid: 1,
  /** It is not filled in, because the packet did not leave the host (TP_STATUS_CSUMNOTREADY). Trust the bytes. */
  Partial: 2,
  /** The packet was captured elsewhere, or in a tunnel: it is right, left to the network card, or wrong. */
  Filed: 3
} as const
export type ChecksumState = (typeof ChecksumState)[keyof typeof ChecksumState]

/**
 * Takes one IP packet. The bytes belong to the capture and are valid only during the call.
 * @param at start of the IP header
 * @param capturedLength bytes present from `at`
 * @param wireLength length of the packet; larger than `capturedLength` if it is truncated
 */
export type PacketSink = (
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  wireLength: number,
  checksum: ChecksumState
) => void

export interface Capture {
  /** Starts a held capture. Absent: the capture is not held. */
  begin?(): void
  /** Gives up to `packetsMax` waiting packets to `sink`, without blocking. @returns their number */
  receive(sink: PacketSink, packetsMax: number): number
  /** Packets lost since the start because the buffer was full. */
  dropped(): number
  /** Whether packets may soon be lost, and must be taken before anything else. Absent: never. */
  isFilling?(): boolean
  /** Packets that a capture which intercepts packets accepted without giving them to the sink. */
  passed?(): number
  /** Gives every IPv6 address that is kept between calls. Absent: none. */
  eachAddress?(take: (address: number) => void): void
  /** When the kernel captured the packet that the sink has, in ms since 1970. Absent: unknown. */
  readonly capturedAtMs?: number
  /** When to call `receive` although nothing wakes the waiter. Absent or Infinity: never. */
  readonly deadline?: Millis
  /** Counts incomplete packets at the end. `close` does so, too. */
  finish?(): void
  close(): void
}

/** A capture that knows when each packet was captured. */
export type TimedCapture = Capture & Required<Pick<Capture, 'capturedAtMs'>>

/** A capture that gives no packets before `begin`. */
export type HeldCapture = Capture & Required<Pick<Capture, 'begin'>>

/** What the kernel knows of the way to a target. */
export interface TargetPath {
  /** `unresolved`: the next hop has no MAC; `none`: there is no route. */
  readonly state: 'known' | 'unresolved' | 'none' | 'unknown'
  /** The next hop, as in `10.0.0.2 on eth0`; empty: unknown. */
  readonly hop: string
}

export interface PacketSender {
  /** Sends all frames of `outbox` and empties it. Refused frames are counted by errno, never thrown. */
  flush(outbox: Outbox): void
  /** Whether frames for this target may be super-packets. Changes only in `refresh`. */
  canSegment(targetAddress: number): boolean
  /** Path MTU to this target, in bytes; 0: unknown. */
  mtu(targetAddress: number): number
  /** Checks whether the paths to the targets have changed. Call it once a second, with an empty outbox. */
  refresh(): void
  /** How packets reach this target. Costs system calls. Absent: unknown. */
  pathTo?(targetAddress: number): TargetPath
  /** Packets that the kernel accepted. */
  readonly sentCount: number
  /** Packets refused, by errno. */
  readonly refused: ReadonlyMap<number, number>
  close(): void
}

/** A TCP connection that is open or connecting, and never blocks. */
export interface Stream {
  /** The other end, for messages: `10.77.0.3:36524`. */
  readonly peer: string
  /** True once the connection is established. */
  readonly open: boolean
  /** Bytes 0…inputLength are received but not yet taken. The owner moves what it leaves. */
  readonly input: Uint8Array
  inputLength: number
  /**
   * Appends what has arrived to `input`, as much as fits. Also completes a pending connect.
   * @returns bytes added; 0: nothing now; −1: the connection has ended or failed (see `failure`), close it
   */
  read(): number
  /** @returns bytes accepted; 0: the peer does not read, or the connection is not open yet; −1: it has ended */
  write(bytes: Uint8Array, at: number, length: number): number
  /** Minimum of the recent round trips, in ms; 0: unknown. Costs a system call. Absent: never known. */
  leastRoundTripMs?(): number
  /** Requests a wake-up when `write` can accept more. */
  awaitWritable(wanted: boolean): void
  /** Why it ended, in the operating system's words; empty: the peer closed it. */
  readonly failure: string
  close(): void
}

export interface Listener {
  /** @returns a new connection, or undefined if none is waiting */
  accept(): Stream | undefined
  close(): void
}

export interface Network {
  /** Starts to connect; `read` shows the result. @param address int32; for IPv6, the number in the address book */
  connect(address: number, port: number): Stream
}

/** A message between workers of a program. The sender and the receiver each reuse their own object. */
export interface PeerMessage {
  type: number
  /** The connection of the channel that the message is about. */
  peer: number
  readonly words: Int32Array
  /** Length of the message in `bytes`. */
  length: number
  readonly bytes: Uint8Array
}

/** Messages between all workers of a program, in order and without blocking. */
export interface Exchange {
  /** Number of this worker, from 0. */
  readonly worker: number
  readonly workers: number
  /** Bytes that can be sent to every other worker. A message takes up to 32 more than it holds. */
  readonly room: number
  /** @returns false if the message does not fit */
  send(worker: number, message: PeerMessage): boolean
  /** The receiver may reply with one message. @returns false if none is waiting, or the sender reads too slowly */
  take(message: PeerMessage): boolean
  /** Wakes the workers that got messages. */
  flush(): void
}

/** The cryptography for the channel's proofs. */
export interface Cryptography {
  /** Unpredictable bytes. */
  random(length: number): Uint8Array
  /** HMAC-SHA-256 (RFC 2104), 32 bytes. */
  hmac(key: Uint8Array, message: Uint8Array): Uint8Array
  /** Compares two arrays of the same length in constant time. */
  isEqual(one: Uint8Array, other: Uint8Array): boolean
}

/** Blocks until one of the captures, streams or listeners has something to do. */
export interface Waiter {
  /** @param timeoutMs longest wait; fractions are rounded up; 0: do not block; Infinity: no timeout */
  wait(timeoutMs: number): void
}

/** A waiter that can also pause. */
export interface PausingWaiter extends Waiter {
  /** Blocks for this time, whatever happens. Fractions are rounded up. */
  pause(ms: number): void
}

export type LogLevel = 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

/** Writes a line of the log: a constant message, and fields with units. */
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void
