/**
 * What the daemons need of the world, as types only. `io/` implements these on Linux, `sim/` in memory.
 *
 * Everything here is driven by one thread that runs to completion: wait, take a batch, step, flush a batch.
 */
import type { Outbox } from './core/packets/outbox.ts'

/** An instant on the monotonic clock, in milliseconds with fractions. */
export type Millis = number

export interface Clock {
  now(): Millis
  /**
   * The time of day, in ms since 1970, at which it showed 0: taken off another time of day it makes an instant of that. It
   * changes when somebody sets the time of day, and costs a system call. Absent: there is no time of day.
   */
  epoch?(): Millis
}

/** What the capture knows about a segment's checksum, beyond the bytes. */
export const ChecksumState = {
  /** Nothing: it has to be verified. */
  Unknown: 0,
  /** Somebody verified it already (TP_STATUS_CSUM_VALID). */
  Valid: 1,
  /** It was never filled in, because the packet did not leave the host (TP_STATUS_CSUMNOTREADY): trust the bytes. */
  Partial: 2,
  /** Captured elsewhere, or inside a tunnel: right, or left to the network card, or wrong. */
  Filed: 3
} as const
export type ChecksumState = (typeof ChecksumState)[keyof typeof ChecksumState]

/**
 * Takes one IP packet. The bytes belong to the capture and are valid only during the call.
 * @param at where the IP header begins
 * @param capturedLength octets present from `at`
 * @param wireLength octets the packet had, from `at`; larger than `capturedLength` if it was cut
 */
export type PacketSink = (
  bytes: Uint8Array,
  at: number,
  capturedLength: number,
  wireLength: number,
  checksum: ChecksumState
) => void

export interface Capture {
  /** Lets one that is held give packets. Absent: none is. */
  begin?(): void
  /** Gives at most `packetsMax` waiting packets to `sink`, without blocking. @returns how many it gave */
  receive(sink: PacketSink, packetsMax: number): number
  /** Packets lost since the start, because there was no room for them. */
  dropped(): number
  /** So much waits that some may soon be lost: it has to be taken before anything else is done. Absent: never. */
  isFilling?(): boolean
  /** Packets that it let go on their way and gave to nobody; of a capture that takes packets out of the way. */
  passed?(): number
  /** Every address of IPv6 that it remembers beyond a call; absent: none. */
  eachAddress?(take: (address: number) => void): void
  /** While the sink has a packet: when the kernel captured it, in ms since 1970. Absent: not known. */
  readonly capturedAtMs?: number
  /** When `receive` will have something to give that nothing wakes the waiter for; absent or Infinity: never. */
  readonly deadline?: Millis
  /** At the end: counts fragments that still wait for others. Nothing is closed by it; `close` does it as well. */
  finish?(): void
  close(): void
}

/** One that knows when each packet was captured. */
export type TimedCapture = Capture & Required<Pick<Capture, 'capturedAtMs'>>

/** One that gives nothing until `begin`. */
export type HeldCapture = Capture & Required<Pick<Capture, 'begin'>>

export interface PacketSender {
  /** Sends all frames of `outbox` and empties it. Refused frames are counted by errno, never thrown. */
  flush(outbox: Outbox): void
  /** Whether frames for this target may be super-packets. Changes only in `refresh`. */
  canSegment(targetAddress: number): boolean
  /** Octets of the largest packet that the way to this target takes whole; 0 where nobody knows. */
  mtu(targetAddress: number): number
  /** To be called once a second, with an empty outbox: looks whether the way to the targets has changed. */
  refresh(): void
  /** Packets that the kernel took. */
  readonly sentCount: number
  /** Packets refused, by errno. */
  readonly refused: ReadonlyMap<number, number>
  close(): void
}

/** A connected, or connecting, TCP connection that never blocks. */
export interface Stream {
  /** The other side, for messages: `10.77.0.3:36524`. */
  readonly peer: string
  /** True once the connection is established. */
  readonly open: boolean
  /** Octets 0…inputLength of `input` are received and not yet taken; the owner moves what it leaves. */
  readonly input: Uint8Array
  inputLength: number
  /**
   * Takes what has arrived, as much as fits behind `inputLength`. Also finishes a connect that is under way.
   * @returns octets added; 0: nothing now; −1: the connection has ended or failed (see `failure`), close it
   */
  read(): number
  /** @returns octets taken, 0 when the peer does not read or the connection is not open yet; −1: it has ended */
  write(bytes: Uint8Array, at: number, length: number): number
  /** The least round trip to the peer of late, in ms; 0: not known. Costs a system call. Absent: never known. */
  leastRoundTripMs?(): number
  /** Asks to be woken when `write` can take more. */
  awaitWritable(wanted: boolean): void
  /** Why it ended, in words of the operating system; empty if the peer closed. */
  readonly failure: string
  close(): void
}

export interface Listener {
  /** @returns a new connection, or undefined when none waits */
  accept(): Stream | undefined
  close(): void
}

export interface Network {
  /** Begins to connect; the outcome shows in `read`. @param address as int32; of IPv6, its number in the thread's book */
  connect(address: number, port: number): Stream
}

/** What one worker of a program tells another. Whoever sends or takes one owns it, and uses it again. */
export interface PeerMessage {
  type: number
  /** A connection of the channel. */
  peer: number
  readonly words: Int32Array
  /** Of `bytes`. */
  length: number
  readonly bytes: Uint8Array
}

/** Messages between the workers of a program: from each to each in their order, never blocking. */
export interface Exchange {
  /** Which worker this is, from 0. */
  readonly worker: number
  readonly workers: number
  /** Octets that can be sent to each other worker before it has read any; a message takes up to 32 more than it holds. */
  readonly room: number
  /** @returns false: there is no room */
  send(worker: number, message: PeerMessage): boolean
  /** Each may be answered with one to its sender. @returns false: there is none, or whoever has sent it reads too little */
  take(message: PeerMessage): boolean
  /** Wakes those to whom something was sent. */
  flush(): void
}

/** What the channel proves itself with. */
export interface Cryptography {
  /** Octets that nobody can foresee. */
  random(length: number): Uint8Array
  /** HMAC-SHA-256 (RFC 2104), 32 octets. */
  hmac(key: Uint8Array, message: Uint8Array): Uint8Array
  /** In a time that does not tell where two arrays of the same length differ. */
  isEqual(one: Uint8Array, other: Uint8Array): boolean
}

/** Blocks until something of what was opened through it can go on. */
export interface Waiter {
  /** @param timeoutMs at most this long, fractions are rounded up; 0: not at all; Infinity: until something happens */
  wait(timeoutMs: number): void
}

/** One that can let time go by, too. */
export interface PausingWaiter extends Waiter {
  /** Blocks for so long, fractions are rounded up, whatever happens meanwhile. */
  pause(ms: number): void
}

export type LogLevel = 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

/** Writes a line of the log: a constant message, and fields with units. */
export type Log = (level: LogLevel, message: string, fields?: LogFields) => void
