/** The settings of sessions that the command line provides. */
import type { GateSettings } from '../gate/epochs.ts'
import type { HolePatience } from './hole-watch.ts'
import { HIBERNATE_AFTER_MS } from './idle-policy.ts'

export interface SessionSettings {
  /** `-t`: time without progress after which a session ends. */
  readonly timeoutMs: number
  /** `-k`: time with nothing to do after which a session ends. */
  readonly keepAliveMs: number
  /** Time with nothing to do after which a session hibernates; Infinity: never. */
  readonly hibernateAfterMs: number
  /** `-R`: used instead of the round trip measured in the client's handshake; 0: acknowledge at once. */
  readonly roundTripMs: number | undefined
  /** `--acks drop`: clients' acknowledgments without payload are not captured. */
  readonly isWithoutAcks: boolean
  readonly gate: GateSettings
  readonly holes: HolePatience
}

/** The defaults. */
export const SESSION_DEFAULTS: SessionSettings = {
  timeoutMs: 600_000,
  keepAliveMs: 720_000,
  hibernateAfterMs: HIBERNATE_AFTER_MS,
  roundTripMs: undefined,
  isWithoutAcks: false,
  gate: { isWaiting: true, timeoutMs: 3000 },
  holes: { timeoutMs: undefined, atEndMs: 1000, afterDropsMs: undefined }
}
