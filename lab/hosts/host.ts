/** A host of the lab: programs that run in a network namespace. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Exit, Program, type ProgramOptions } from './program.ts'

export interface Result extends Exit {
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions extends ProgramOptions {
  /** Ends the program after this long; default 60 s. */
  readonly timeoutMs?: number
}

const stateListen = '0A'

/** A host of the lab: a network namespace with one device, eth0, on the lab's bridge. */
export class Host {
  readonly name: string
  readonly addresses: readonly string[]
  readonly #programs: Program[] = []
  #isClosed = false

  constructor(name: string, addresses: readonly string[]) {
    this.name = name
    this.addresses = addresses
  }

  /** The first address. */
  get address(): string {
    const [first] = this.addresses
    if (first === undefined) throw new Error(`Host ${this.name} has no address.`)
    return first
  }

  /** Starts a program. The lab stops it when it closes, if it still runs. */
  spawn(command: string, args: readonly string[] = [], options: ProgramOptions = {}): Program {
    if (this.#isClosed) throw new Error('The lab is closed.')
    const label = `${command.slice(command.lastIndexOf('/') + 1)} on ${this.name}`
    const program = new Program(label, 'ip', ['netns', 'exec', this.name, command, ...args], options)
    this.#programs.push(program)
    return program
  }

  /** Runs a program to its end, whatever its exit status. */
  async run(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<Result> {
    const program = this.spawn(command, args, options)
    const timer = setTimeout(() => program.signal('SIGKILL'), options.timeoutMs ?? 60_000)
    try {
      const exit = await program.exited
      return { ...exit, stdout: program.stdout, stderr: program.stderr }
    } finally {
      clearTimeout(timer)
      this.#programs.splice(this.#programs.indexOf(program), 1)
    }
  }

  /** Runs a program and returns its stdout. @throws Error with its stderr if it fails */
  async mustRun(command: string, args: readonly string[] = [], options: RunOptions = {}): Promise<string> {
    const { status, signal, stdout, stderr } = await this.run(command, args, options)
    if (status === 0) return stdout
    throw new Error(`${command} ${args.join(' ')} on ${this.name}: ${signal ?? `exit ${status}`}\n${stderr.trim()}`)
  }

  /** Waits until a program on this host listens on the TCP port, without connecting to it. */
  async waitForPort(port: number, timeoutMs = 5000): Promise<void> {
    const deadline = performance.now() + timeoutMs
    const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
    for (;;) {
      const sockets = (await this.mustRun('cat', ['/proc/net/tcp', '/proc/net/tcp6'])).split('\n')
      const isListening = sockets.some((line) => {
        const [, local, , state] = line.trim().split(/\s+/)
        return local?.endsWith(suffix) === true && state === stateListen
      })
      if (isListening) return
      if (performance.now() > deadline)
        throw new Error(`No program listens on ${this.name}:${port} after ${timeoutMs} ms.`)
      await sleep(20)
    }
  }

  /** Stops the programs, the last one first, then any processes that they left behind. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const program of [...this.#programs].reverse()) await program.stop()
    const left = new Program(`ip on ${this.name}`, 'ip', ['netns', 'pids', this.name])
    await left.exited
    for (const pid of left.stdout.split('\n').filter(Boolean)) kill(Number(pid))
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}
