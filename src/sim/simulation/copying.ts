/** What a simulation copies with: sessions on one of the target sides, and everything behind them. */
import type { Counters } from '../../core/books/counters.ts'
import { ALL_FLOWS } from '../../core/selection/sampling.ts'
import { SELECTION_DEFAULTS } from '../../core/selection/settings.ts'
import { SESSION_DEFAULTS } from '../../core/session/settings.ts'
import { type CopySettings, LIMIT_DEFAULTS } from '../../core/sessions/assembly.ts'
import type { Seq } from '../../wire/seq.ts'
import type { Conversation } from '../scenario/conversation.ts'
import type { Random } from '../scenario/random.ts'
import type { Scheduler } from '../scenario/scheduler.ts'
import type { Weather } from '../scenario/weather.ts'
import { targetAddressOf } from '../target/target-connection.ts'
import type { Diary } from './diary.ts'
import type { CopiedConnection } from './properties.ts'

export const SOURCE = { address: 0x0a000002, port: 80 }
export const TIMEOUT_MS = 600_000
const KEEP_ALIVE_MS = 60_000

/** What both kinds of copying are given. */
export interface Scene {
  readonly weather: Weather
  readonly scheduler: Scheduler
  readonly random: Random
  readonly counters: Counters
  readonly diary: Diary
  /** The conversation that a client's sequence number belongs to. */
  readonly conversationAt: (sequence: Seq) => Conversation | undefined
}

export interface Copying {
  /** All connections of the target, in the order in which they began. */
  readonly connections: readonly CopiedConnection[]
  /** Number of sessions that have not ended. */
  readonly sessionCount: number
  begin(): void
  /** A packet of a client is captured. */
  captured(packet: Uint8Array): void
  /** The kernel reports a packet that was not captured. */
  missed(): void
  /** Ends all sessions, and checks that everything remembered about them expires. */
  stop(): void
}

/** The settings of a copy in this weather. */
export function copySettingsOf({ copier }: Weather): CopySettings {
  const { fromAddress, fromPort } = targetAddressOf()
  const map = { sourceAddress: 0, sourcePort: SOURCE.port, targetAddress: fromAddress, targetPort: fromPort }
  const { share, copies, poolBytes, halfOpenMax, session } = copier
  return {
    selection: { ...SELECTION_DEFAULTS, maps: [map], sampling: { ...ALL_FLOWS, share, copies } },
    session: { ...SESSION_DEFAULTS, timeoutMs: TIMEOUT_MS, keepAliveMs: KEEP_ALIVE_MS, ...session },
    limits: { ...LIMIT_DEFAULTS, poolBytes, halfOpenMax, sessionsMax: 4096 }
  }
}
