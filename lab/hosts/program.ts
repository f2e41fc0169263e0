/** A program on a host of the lab: its output, its end, and what it consumes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Exit {
  /** null if a signal ended it. */
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ProgramOptions {
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Longer output is truncated at its start. */
const outputCharactersMax = 4 << 20
/** Clock ticks per second in /proc (USER_HZ), the same on every Linux architecture. */
const ticksPerSecond = 100

/** A process on a host. `pid` is that of the program itself, since `ip netns exec` replaces itself with it. */
export class Program {
  readonly name: string
  readonly pid: number
  /** Settles when the program has ended and its output is complete; never rejects. */
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  #exit: Exit | undefined
  #stdout = ''
  #stderr = ''
  #isStopping = false

  /** @param name for messages, such as `tcpcopy on source` */
  constructor(name: string, command: string, args: readonly string[], options: ProgramOptions = {}) {
    this.name = name
    const env = { ...process.env, ...options.env }
    this.#child = spawn(command, args, { env, cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    this.pid = this.#child.pid ?? 0
    this.exited = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#stderr += error.message
        this.#exit = { status: 127, signal: null }
        resolve(this.#exit)
      })
      this.#child.once('close', (status, signal) => {
        this.#exit = { status, signal }
        resolve(this.#exit)
      })
    })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout = keepEnd(this.#stdout + text)
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = keepEnd(this.#stderr + text)
    })
  }

  get stdout(): string {
    return this.#stdout
  }

  get stderr(): string {
    return this.#stderr
  }

  /** undefined while it runs. */
  get exit(): Exit | undefined {
    return this.#exit
  }

  /** Whether `stop` was called, so that its end is expected. */
  get isStopping(): boolean {
    return this.#isStopping
  }

  signal(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#child.kill(signal)
  }

  /** Sends the signal, and SIGKILL after the timeout. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = 5000): Promise<Exit> {
    this.#isStopping = true
    this.signal(signal)
    const timer = setTimeout(() => this.signal('SIGKILL'), timeoutMs)
    try {
      return await this.exited
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Waits for a line that `accepts` takes; it may have been printed already.
   * @throws Error with the end of stderr if the program ends or the time is up before
   */
  async waitForLine(
    stream: 'stdout' | 'stderr',
    accepts: (line: string) => boolean,
    timeoutMs = 5000
  ): Promise<string> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const line = this[stream].split('\n').slice(0, -1).find(accepts)
      if (line !== undefined) return line
      if (this.#exit !== undefined) throw new Error(this.describeEnd())
      const leftMs = deadline - performance.now()
      if (leftMs <= 0)
        throw new Error(`${this.name} did not print the expected line within ${timeoutMs} ms.\n${this.#tail()}`)
      await this.#outputOrEnd(stream, leftMs)
    }
  }

  async #outputOrEnd(stream: 'stdout' | 'stderr', timeoutMs: number): Promise<void> {
    const abort = new AbortController()
    const { signal } = abort
    const source = this.#child[stream]
    const output = source === null ? [] : [once(source, 'data', { signal })]
    try {
      await Promise.race([this.exited, sleep(timeoutMs, undefined, { signal }), ...output])
    } finally {
      abort.abort()
    }
  }

  /** How the program ended, for a message. */
  describeEnd(): string {
    const how =
      this.#exit?.signal != null ? `was ended by ${this.#exit.signal}` : `ended with exit ${this.#exit?.status}`
    return `${this.name} ${how}.\n${this.#tail()}`
  }

  #tail(): string {
    const lines = this.#stderr.trimEnd().split('\n').slice(-20)
    return this.#stderr.trim() === '' ? 'Its stderr is empty.' : `Its stderr:\n  ${lines.join('\n  ')}`
  }

  /** User and system time of all threads so far, in seconds, with a resolution of 10 ms. NaN if it has ended. */
  cpuSeconds(): number {
    return cpuSeconds(this.pid)
  }

  /** Peak resident memory (VmHWM) in bytes, shared memory included. NaN if it has ended. */
  peakMemoryBytes(): number {
    return memoryBytes(this.pid, 'VmHWM')
  }

  /** Current resident memory (VmRSS) in bytes, shared memory included. NaN if it has ended. */
  memoryBytes(): number {
    return memoryBytes(this.pid, 'VmRSS')
  }
}

/** proc_pid_status(5) */
function memoryBytes(pid: number, name: 'VmHWM' | 'VmRSS'): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024
  } catch {
    return Number.NaN
  }
}

/**
 * Runs the work, and fails as soon as one of the programs ends unexpectedly.
 * @returns the result of the work. @throws Error with the program's output
 */
export async function whileAllRun<T>(programs: readonly Program[], work: () => Promise<T>): Promise<T> {
  const untimelyEnds = programs.map(async (program): Promise<never> => {
    await program.exited
    // The end of a stopped program is expected: this promise never settles.
    if (program.isStopping) return await new Promise<never>(() => {})
    throw new Error(program.describeEnd())
  })
  return await Promise.race([work(), ...untimelyEnds])
}

/** User and system time of all threads of a process so far, in seconds; NaN if it has ended. proc_pid_stat(5). */
function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the name in parentheses and may hold anything; the third follows the last ')'.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
  } catch {
    return Number.NaN
  }
}

function keepEnd(text: string): string {
  return text.length > 2 * outputCharactersMax ? text.slice(-outputCharactersMax) : text
}
