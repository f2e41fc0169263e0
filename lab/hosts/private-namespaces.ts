/** A guard that keeps the lab away from the network of the machine itself. */
import { readFileSync, readlinkSync } from 'node:fs'
import { OperatorError } from '../../src/errors.ts'

/** Set by scripts/namespaces.mjs: the network namespace that the lab must not touch. */
const outsideVariable = 'TCPCOPY_LAB_OUTSIDE'

/**
 * The lab changes devices and addresses and kills processes. It does so only if process 1 of the PID namespace was started
 * by scripts/namespaces.mjs, in another network namespace than the machine's.
 * @throws OperatorError otherwise
 */
export function assertPrivateNamespaces(): void {
  const outside = process.env[outsideVariable]
  const isOursByVariable = outside !== undefined && outside !== readlinkSync('/proc/self/ns/net')
  if (isOursByVariable && isProcessOneOurs(outside)) return
  throw new OperatorError(
    'lab-outside',
    'The lab refuses to touch the network of the machine itself.',
    'Start it with `npm start` or `npm test`, which create namespaces for it.'
  )
}

function isProcessOneOurs(outside: string): boolean {
  try {
    return readFileSync('/proc/1/environ', 'latin1').split('\0').includes(`${outsideVariable}=${outside}`)
  } catch {
    // This is the machine's process 1, which an ordinary user cannot inspect.
    return false
  }
}
