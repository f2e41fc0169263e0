/** Why a packet is sent. A trace prints it; only copies keep the fields of the client's own IP header. */
export const Purpose = {
  /** A packet of the client, for the first time. It keeps its captured IP id, traffic class and DF. */
  Copy: 0,
  Retransmission: 1,
  SynAgain: 2,
  FinAgain: 3,
  Handshake: 4,
  Acknowledgment: 5,
  AsksForMissing: 6,
  WindowProbe: 7,
  ChallengesReset: 8,
  ChallengesSynAck: 9,
  ChallengesOldTimestamp: 10,
  ChallengesAcknowledgment: 11,
  ResetsOlder: 12,
  EndsSession: 13,
  /** For a connection that has ended. */
  TimeWait: 14
} as const
export type Purpose = (typeof Purpose)[keyof typeof Purpose]

/** Texts for a trace, in the order of the numbers; empty for a plain copy. */
export const purposeTexts: readonly string[] = [
  '',
  'again',
  'SYN again',
  'FIN again',
  'handshake',
  'acknowledgment',
  'duplicate, asks for what is missing',
  'window probe',
  'challenge of a reset',
  'SYN-ACK again',
  'answer with an old timestamp',
  'acknowledgment of unsent bytes',
  'reset of an older connection',
  'session ends',
  'connection has ended'
]
