/** Starts tcpcopy and intercept, or any two programs with the same options. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ASSISTANT, type CopyLab, MAP, type Programs, TARGET } from '../../lab/hosts/copy-lab.ts'
import type { Host } from '../../lab/hosts/host.ts'
import type { Program } from '../../lab/hosts/program.ts'

const CHANNEL_PORT = 36_524
const CONNECT_LIMIT_MS = 20_000
const POLL_MS = 50
/** Once the channel is connected, nothing shows from outside that a program is ready. */
const SETTLE_MS = 500

export interface Pair {
  readonly tcpcopy: Program
  readonly intercept: Program
}

/** @param profileFolder where tcpcopy, then that of this checkout, leaves a CPU profile of each thread */
export async function startPair(lab: CopyLab, programs: Programs, profileFolder?: string): Promise<Pair> {
  const { assistant, source } = lab.hosts
  const intercept = assistant.spawn(programs.intercept, ['-i', 'eth0', '-F', `tcp and src host ${TARGET}`])
  await assistant.waitForPort(CHANNEL_PORT, CONNECT_LIMIT_MS)
  const args = ['-x', MAP, '-s', ASSISTANT]
  const profile = ['--cpu-prof', '--cpu-prof-dir', profileFolder ?? '']
  const tcpcopy =
    profileFolder === undefined
      ? source.spawn(programs.tcpcopy, args)
      : source.spawn(process.execPath, [...profile, programs.tcpcopy, ...args])
  const endMs = performance.now() + CONNECT_LIMIT_MS
  while ((await channelSockets(source)).length === 0) {
    if (tcpcopy.exit !== undefined) throw new Error(tcpcopy.describeEnd())
    if (performance.now() > endMs) throw new Error(`${programs.tcpcopy} has not connected to intercept.`)
    await sleep(POLL_MS)
  }
  await sleep(SETTLE_MS)
  return { tcpcopy, intercept }
}

/** Bytes that tcpcopy has received on its connections to intercept. */
export async function channelBytes(source: Host): Promise<number> {
  const received = (await channelSockets(source)).map((text) => Number(/bytes_received:(\d+)/.exec(text)?.[1] ?? 0))
  return received.reduce((sum, bytes) => sum + bytes, 0)
}

/** The line of ss(8) for each established connection to intercept. */
async function channelSockets(source: Host): Promise<string[]> {
  const text = await source.mustRun('ss', ['-tinHO', 'state', 'established', 'dport', '=', `:${CHANNEL_PORT}`])
  return text.split('\n').filter((line) => line !== '')
}
