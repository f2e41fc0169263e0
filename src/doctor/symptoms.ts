/** Warnings that have an explanation: their messages and their fields. */

/** A `-x` opens connections, and the target accepts none. The fields are those of `NoAnswers`, as text. */
export const NO_ANSWERS = 'no answers from the target'
/** The same, but the target refuses the connections. */
export const ALL_REFUSED = 'the target refuses all connections'
/** The target does not know connections that it accepted. Its fields are those of `LostConnections`. */
export const CONNECTIONS_LOST = 'the target lost connections that it had just accepted'
/** Clients of some networks are answered, others never. Its fields are those of `SomeUnanswered`. */
export const SOME_UNANSWERED = 'some clients get no answers from the target'
/** Sessions pause before they reconnect. Like the next two, its fields are those of `MapWarning`. */
export const CONNECTIONS_OF_NO_USE = 'the target ends connections without a useful answer; copying pauses'
/** Connections use TLS and are not copied. */
export const TLS_LEFT_OUT = 'connections that use TLS are not copied'
/** Requests were sent although the target had not answered. */
export const UNANSWERED = 'the target does not answer within --epoch-timeout'

/** Information: a state is over. */
export const ACCEPTS_AGAIN = 'the target accepts connections again'
export const KEEPS_AGAIN = 'the target keeps its connections again'
export const ALL_ANSWERED = 'all clients that connect get answers from the target'
export const PAUSES_OVER = 'no copy pauses any more'
export const TLS_OVER = 'no new connections use TLS any more'
export const ANSWERED_AGAIN = 'the target answers within --epoch-timeout again'

/** States of a `-x` that every worker notices for itself: the warnings, and the message when it is over. */
export const STATES = [
  { messages: [NO_ANSWERS, ALL_REFUSED], over: ACCEPTS_AGAIN },
  { messages: [CONNECTIONS_LOST], over: KEEPS_AGAIN },
  { messages: [SOME_UNANSWERED], over: ALL_ANSWERED },
  { messages: [CONNECTIONS_OF_NO_USE], over: PAUSES_OVER },
  { messages: [TLS_LEFT_OUT], over: TLS_OVER },
  { messages: [UNANSWERED], over: ANSWERED_AGAIN }
] as const

/** The fields of `SOME_UNANSWERED`. */
export interface SomeUnanswered {
  readonly source: string
  readonly target: string
  /** Connections opened since the last report, of clients whose answers are known to come or to be missing. */
  readonly connections: number
  /** Of these, those of clients that got no answer at all. */
  readonly unanswered: number
  /** The networks of these clients with their connections, most first, as in `10.0.0.8/30 (150)`. */
  readonly networks: readonly string[]
}

/** The fields of warnings that count what happened at one `-x`. */
export interface MapWarning {
  readonly source: string
  readonly target: string
  /** How often, since the cause began. */
  readonly count: number
  /** Requests sent in the same time; only with `UNANSWERED`. */
  readonly requests?: number
}
