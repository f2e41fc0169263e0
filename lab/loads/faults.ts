/** Faults of the network and of programs. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../hosts/host.ts'
import { addRules } from '../hosts/nftables.ts'
import type { Program } from '../hosts/program.ts'

/** Drops the same share of the packets to a host's service and of those from it, in per mille. */
export async function loseAround(host: Host, port: number, perMille: number): Promise<void> {
  const share = `numgen random mod 1000 < ${perMille}`
  await addRules(host, 'ip', 'lose_input', 'input', `tcp dport ${port} ${share} drop`)
  await addRules(host, 'ip', 'lose_output', 'output', `tcp sport ${port} ${share} drop`)
}

/** Suspends a program for a while. */
export async function pause(program: Program, ms: number): Promise<void> {
  program.signal('SIGSTOP')
  try {
    await sleep(ms)
  } finally {
    program.signal('SIGCONT')
  }
}
