/** Faults of the network and of programs. Rules vanish with their host. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../hosts/host.ts'
import type { Program } from '../hosts/program.ts'

/** Drops what matches, in a table of its own. */
async function drop(host: Host, table: string, hook: 'input' | 'output', match: string): Promise<void> {
  await host.mustRun('nft', [`add table ip ${table}`])
  await host.mustRun('nft', [`add chain ip ${table} some { type filter hook ${hook} priority 0; }`])
  await host.mustRun('nft', [`add rule ip ${table} some ${match} drop`])
}

/** Drops a share of a host's packets to its service, and as large a one of those from it; in per mille. */
export async function loseAround(host: Host, port: number, perMille: number): Promise<void> {
  const share = `numgen random mod 1000 < ${perMille}`
  await drop(host, 'lose_input', 'input', `tcp dport ${port} ${share}`)
  await drop(host, 'lose_output', 'output', `tcp sport ${port} ${share}`)
}

/** Stops a program for a while. */
export async function pause(program: Program, ms: number): Promise<void> {
  program.signal('SIGSTOP')
  try {
    await sleep(ms)
  } finally {
    program.signal('SIGCONT')
  }
}
