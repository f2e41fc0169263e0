/** The states of a session. While it lives, its state is that of its connection to the target. */
export const SessionState = {
  /** An earlier copy with the same address and port has not ended, or the session waits to reconnect. */
  Waiting: 0,
  SynSent: 1,
  Established: 2,
  Closed: 3
} as const
export type SessionState = (typeof SessionState)[keyof typeof SessionState]
export const stateNames = ['WAITING', 'SYN-SENT', 'ESTABLISHED', 'CLOSED'] as const
