/** How many files this process may open: a thread that finds too few fails where nobody can say why. */
import { readdirSync, readFileSync } from 'node:fs'
import { OperatorError } from '../../errors.ts'

/** Files of a thread: those of the runtime, rings, sockets; about twice as many as were counted. */
const EACH_THREAD = 40
/** For what the main thread opens, and connections that intercept accepts. */
const OTHERS = 32
const USUAL = 1024

/** @param connections that the program makes @throws OperatorError `few-descriptors` */
export function requireDescriptors(threads: number, connections: number): void {
  const limit = limitOf(readFileSync('/proc/self/limits', 'latin1'))
  const needed = readdirSync('/proc/self/fd').length + threads * EACH_THREAD + OTHERS + connections
  if (needed > limit) throw tooFew(`this process may open ${limit} files, and needs ${needed}`, needed)
}

/** @param limits as in /proc/self/limits. Node raises the soft limit to the hard one at its start. */
export function limitOf(limits: string): number {
  const limit = /^Max open files\s+(\S+)/m.exec(limits)?.[1]
  return limit === undefined || limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit)
}

/** An error for the operator, if the cause is that no more files can be opened. */
export function descriptorError(error: unknown): OperatorError | undefined {
  const { code, message } = Object(error)
  if (code !== 'EMFILE' && !/\bEMFILE\b/.test(String(message))) return undefined
  return tooFew(`this process has too many files open: ${String(message)}`, USUAL)
}

function tooFew(message: string, needed: number): OperatorError {
  const limit = Math.max(USUAL, needed)
  return new OperatorError(
    'few-descriptors',
    message,
    `Raise the limit: ulimit -n ${limit} (systemd: LimitNOFILE=${limit}).`
  )
}
