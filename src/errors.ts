/**
 * An error that an operator can fix: the message says what happened, the hint what to do. The program prints it and
 * exits 1.
 */
export class OperatorError extends Error {
  /** Stable, for scripts. docs/errors.md explains each code. */
  readonly code: string
  /** What to do about it. */
  readonly hint: string

  constructor(code: string, message: string, hint: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OperatorError'
    this.code = code
    this.hint = hint
  }
}
