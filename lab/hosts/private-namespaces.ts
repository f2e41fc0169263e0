import { readFileSync, readlinkSync } from 'node:fs'
import { OperatorError } from '../../src/errors.ts'

/** Set by scripts/namespaces.mjs: the network namespace that must be left alone. */
const outsideVariable = 'TCPCOPY_LAB_OUTSIDE'

/**
 * The lab makes devices and addresses and ends processes. It does so only where process 1, and with it everything
 * here, was started by scripts/namespaces.mjs, in a network namespace other than the machine's.
 * @throws OperatorError if this is the machine itself
 */
export function assertPrivateNamespaces(): void {
  const outside = process.env[outsideVariable]
  const isOursByVariable = outside !== undefined && outside !== readlinkSync('/proc/self/ns/net')
  if (isOursByVariable && isProcessOneOurs(outside)) return
  throw new OperatorError(
    'lab-outside',
    'The lab does not run in the network namespace of the host.',
    'Start it with `npm start` or `npm test`, which create separate namespaces.'
  )
}

function isProcessOneOurs(outside: string): boolean {
  try {
    return readFileSync('/proc/1/environ', 'latin1').split('\0').includes(`${outsideVariable}=${outside}`)
  } catch {
    // The machine's process 1, seen by an ordinary user.
    return false
  }
}
