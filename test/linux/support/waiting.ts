/** Waiting for a copy to get somewhere. */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { hasMessage, type LogEntry, lastStatistics } from '../../../lab/hosts/json-log.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import type { Server } from '../../../lab/loads/server.ts'

/** Far more than any wait takes; it bounds a test that fails. */
const PATIENCE_MS = 20_000

/** Waits until the condition holds. @throws AssertionError that says what did not happen */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; !(await condition()); await sleep(20)) {
    assert.ok(performance.now() < deadline, `did not happen within ${PATIENCE_MS} ms: ${what}`)
  }
}

/** Waits until a server has received at least `count` requests. */
export async function untilRequests(server: Server, count: number): Promise<void> {
  await until(`${server.program.name} has received ${count} requests`, async () => {
    return (await server.requestCount()) >= count
  })
}

/** Waits until the target has received as many requests as the source, and checks that their data is the same. */
export async function untilSame(source: Server, target: Server): Promise<void> {
  const expected = await source.requestCount()
  await untilRequests(target, expected)
  assert.equal(await target.requestCount(), expected)
  assert.equal(await target.digest(), await source.digest())
}

/** Makes tcpcopy or intercept write its statistics (SIGUSR2), and returns them. */
export async function statisticsOf(program: Program): Promise<LogEntry> {
  const count = (): number => program.stderr.split('\n').filter((line) => hasMessage(line, 'statistics')).length
  const before = count()
  program.signal('SIGUSR2')
  await until(`${program.name} writes statistics`, () => count() > before)
  return lastStatistics(program.stderr) ?? {}
}

/** Waits until a counter of the program's statistics satisfies the condition. */
export async function untilCounter(program: Program, name: string, isRight: (count: number) => boolean): Promise<void> {
  let last: unknown
  const isReached = async (): Promise<boolean> => {
    last = (await statisticsOf(program))[name] ?? 0
    return typeof last === 'number' && isRight(last)
  }
  await until(`${program.name} counts ${name} as expected`, isReached).catch((error: unknown) => {
    throw new Error(`${name} is ${last}`, { cause: error })
  })
}

/** Ends a program by SIGTERM or another signal, and checks that it exits with 0. */
export async function stopCleanly(program: Program, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  assert.deepEqual(await program.stop(signal), { status: 0, signal: null }, program.stderr)
}
