/** The checks that decide whether the main job passed. */
import { counter, dropsOf, requestProblems } from '../hosts/json-log.ts'
import type { Measured } from './report.ts'

/** Describes what is wrong with the copy, or with its check, in sentences. */
export function findProblems(measured: Measured): string[] {
  const { requests, connections, redisCommands, captureDropped, exitStatus } = measured
  const problems: string[] = []
  const check = (isWell: boolean, problem: string) => {
    if (!isWell) problems.push(problem)
  }
  check(requests.source > 0, 'The source received no request: the load did not run, or the capture missed it.')
  check(requests.lost === 0, `${requests.lost} requests were lost.`)
  check(requests.duplicated === 0, `${requests.duplicated} requests were duplicated.`)
  const unequal = connections.source - connections.equal
  const altered = `(${connections.altered} of them altered: same number of requests, different bytes)`
  check(unequal === 0, `${unequal} of ${connections.source} connections differ at the target ${altered}.`)
  const surplus = connections.target - connections.source
  check(surplus === 0, `The target saw ${connections.target} connections, the source ${connections.source}.`)
  check(measured.dataDigestsEqual, 'The data sets of source and target differ.')
  for (const side of ['source', 'target'] as const) {
    const [ours, witness] = [requests[side], redisCommands[side]]
    check(
      ours === witness,
      `The check is inconsistent at the ${side}: captured ${ours} requests, redis served ${witness}.`
    )
  }
  const dumpDropped = captureDropped.sourceTcpdump + captureDropped.targetTcpdump
  check(dumpDropped === 0, `The check is incomplete: tcpdump lost ${dumpDropped} packets. Is the machine overloaded?`)
  check(measured.captureHoles === 0, `The check is incomplete: ${measured.captureHoles} captured streams have holes.`)
  check(
    measured.captureStrays === 0,
    `The check is incomplete: the SYN of ${measured.captureStrays} captured segments is missing.`
  )
  for (const drop of dropsOf(measured.statistics.tcpcopy ?? {})) problems.push(`tcpcopy dropped client bytes: ${drop}.`)
  const unaccounted = counter(measured.statistics.tcpcopy ?? undefined, 'unaccountedBytes')
  check(unaccounted === 0, `The books of tcpcopy do not close: ${unaccounted} bytes are unaccounted for.`)
  problems.push(...requestProblems(measured.statistics.tcpcopy ?? {}))
  for (const name of ['tcpcopy', 'intercept'] as const) {
    check(exitStatus[name] === 0, `${name} ended with ${exitStatus[name] ?? 'a signal'} when it was stopped.`)
    check(measured.statistics[name] !== null, `${name} logged no statistics on exit.`)
  }
  return problems
}
