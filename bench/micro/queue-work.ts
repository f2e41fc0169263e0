/** intercept on the target itself: the cost of a header from the firewall's queue, compared with one from a ring. */
import {
  type CopyLab,
  MAP,
  OWN_PROGRAMS,
  openCopyLab,
  PORT,
  SOURCE,
  startReady,
  TARGET
} from '../../lab/hosts/copy-lab.ts'
import type { Program } from '../../lab/hosts/program.ts'
import type { Fact, Work } from '../report/facts.ts'

const REQUESTS = 100_000
const WARM_UP = 30_000
const LIMIT_MS = 120_000
const ANSWERS = `tcp and src host ${TARGET} and src port ${PORT}`
const QUEUE = ['--nfqueue', '-F', ANSWERS, '--manage-rules']

async function load(lab: CopyLab, requests: number): Promise<void> {
  const args = ['-h', SOURCE, '-p', `${PORT}`, '-t', 'set', '-q', '-d', '64', '-r', '100000', '-n', `${requests}`]
  await lab.hosts.client.mustRun('redis-benchmark', args, { timeoutMs: LIMIT_MS })
}

/** @returns µs of intercept's CPU per response */
async function cost(lab: CopyLab, intercept: Program): Promise<number> {
  await load(lab, WARM_UP)
  const before = intercept.cpuSeconds()
  await load(lab, REQUESTS)
  return ((intercept.cpuSeconds() - before) * 1e6) / REQUESTS
}

async function measure(): Promise<readonly Fact[]> {
  const values: number[] = []
  for (const isQueue of [false, true]) {
    await using lab = await openCopyLab(isQueue ? { routed: [] } : {})
    await lab.startRedisPair()
    const intercept = isQueue
      ? await startReady(lab.hosts.target, OWN_PROGRAMS.intercept, QUEUE)
      : await lab.startIntercept()
    if (isQueue) await startReady(lab.hosts.source, OWN_PROGRAMS.tcpcopy, ['-x', MAP, '-s', TARGET])
    else await lab.startTcpcopy()
    values.push(await cost(lab, intercept))
  }
  const [ring = Number.NaN, queue = Number.NaN] = values
  return [
    { name: 'queue-ring', what: 'CPU of intercept per response, on the assistant', unit: 'µs', digits: 1, value: ring },
    { name: 'queue-nfqueue', what: 'the same on the target (--nfqueue)', unit: 'µs', digits: 1, value: queue }
  ]
}

export const queue: Work = { name: 'nfqueue', title: 'intercept on the target itself', measure }
