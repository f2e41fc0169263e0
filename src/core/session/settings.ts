/** What the operator chose for sessions, as the command line hands it on. */
import type { GateSettings } from './epochs.ts'
import type { HolePatience } from './hole-watch.ts'
import { HIBERNATE_AFTER_MS } from './idle-policy.ts'

export interface SessionSettings {
  /** `-t`: a session that makes no progress for so long ends. */
  readonly timeoutMs: number
  /** `-k`: a session that has nothing to do for so long ends. */
  readonly keepAliveMs: number
  /** A session with nothing to do hibernates after so long, in ms; Infinity: never. */
  readonly hibernateAfterMs: number
  /** `-R`: the client's round trip, instead of the one that its handshake shows; 0: acknowledge at once. */
  readonly roundTripMs: number | undefined
  /** `--acks drop`: clients' acknowledgments without payload are not captured. */
  readonly isWithoutAcks: boolean
  readonly gate: GateSettings
  readonly holes: HolePatience
}

/** What holds where the operator says nothing. */
export const SESSION_DEFAULTS: SessionSettings = {
  timeoutMs: 600_000,
  keepAliveMs: 720_000,
  hibernateAfterMs: HIBERNATE_AFTER_MS,
  roundTripMs: undefined,
  isWithoutAcks: false,
  gate: { isWaiting: true, timeoutMs: 3000 },
  holes: { timeoutMs: undefined, atEndMs: 1000, afterDropsMs: undefined }
}
