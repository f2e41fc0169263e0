/** What went wrong and what an operator can do about it. The command line prints it and exits 1. */
export class OperatorError extends Error {
  /** Stable, for scripts and for docs/errors.md. */
  readonly code: string
  /** What to do. */
  readonly hint: string

  constructor(code: string, message: string, hint: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'OperatorError'
    this.code = code
    this.hint = hint
  }
}
