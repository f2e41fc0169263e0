/** `--join`: where connections whose SYN was not captured are joined. */
export const JOIN_AT = ['answered', 'line', 'never'] as const
export type JoinAt = (typeof JOIN_AT)[number]
