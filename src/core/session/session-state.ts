/** Where a session is in its life. The first three are those of its connection to the target. */
export const SessionState = {
  /** The connection before it, with the same address and port, has not ended; or it waits to connect again. */
  Waiting: 0,
  SynSent: 1,
  Established: 2,
  Closed: 3
} as const
export type SessionState = (typeof SessionState)[keyof typeof SessionState]
export const stateNames = ['WAITING', 'SYN-SENT', 'ESTABLISHED', 'CLOSED'] as const
