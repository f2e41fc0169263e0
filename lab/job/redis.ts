/** A redis-server on a host of the lab, and what it says of its commands and data. */
import { connect } from 'node:net'
import type { Host } from '../hosts/host.ts'
import type { Program } from '../hosts/program.ts'

/** Commands that this class sends; they are not part of any load. */
const ownCommands = /^cmdstat_(?:info|debug|eval|xrange)(?:\||:)/

/**
 * A redis-server on a host. Queries go through a Unix socket: they cause no packet and no process, so they do not
 * disturb what is measured.
 */
export class Redis {
  readonly program: Program
  readonly #socketPath: string

  constructor(program: Program, socketPath: string) {
    this.program = program
    this.#socketPath = socketPath
  }

  /** How many commands it has received, rejected ones included, our own queries excluded. */
  async requestCount(): Promise<number> {
    const lines = (await this.#ask('INFO commandstats')).split('\r\n').filter((line) => line.startsWith('cmdstat_'))
    const counts = lines
      .filter((line) => !ownCommands.test(line))
      .map((line) => {
        return Number(/calls=(\d+)/.exec(line)?.[1] ?? 0) + Number(/rejected_calls=(\d+)/.exec(line)?.[1] ?? 0)
      })
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** A digest of all keys and values. */
  async digest(): Promise<string> {
    return await this.#ask('DEBUG DIGEST')
  }

  /** The entry IDs of the streams `prefix0`, `prefix1`, … up to `count` of them. */
  async streams(prefix: string, count: number): Promise<readonly (readonly string[])[]> {
    const ids = `for _, e in ipairs(redis.call('XRANGE', '${prefix}' .. i, '-', '+')) do t[#t + 1] = e[1] end`
    const script = `local t = {} for i = 0, ${count - 1} do ${ids} t[#t + 1] = ';' end return table.concat(t, ' ')`
    const streams = (await this.#ask(`EVAL "${script}" 0`)).split(';').slice(0, count)
    return streams.map((text) => text.split(' ').filter(Boolean))
  }

  /** @returns a status or bulk reply. @throws Error if redis answers with an error or not at all */
  #ask(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.#socketPath)
      let reply = ''
      socket.setTimeout(30_000, () => socket.destroy(new Error(`${this.program.name} does not answer ${command}.`)))
      socket.setEncoding('latin1')
      socket.on('data', (text: string) => {
        reply += text
        const value = replyValue(reply)
        if (value === undefined) return
        socket.destroy()
        if (reply.startsWith('-')) reject(new Error(`${this.program.name} answers ${command} with ${value}`))
        else resolve(value)
      })
      socket.on('error', reject)
      socket.on('close', () => reject(new Error(`${this.program.name} left the question ${command} unanswered.`)))
      socket.write(`${command}\r\n`)
    })
  }
}

/** undefined until the reply is whole. */
function replyValue(reply: string): string | undefined {
  const lineEnd = reply.indexOf('\r\n')
  if (lineEnd < 0) return undefined
  if (!reply.startsWith('$')) return reply.slice(1, lineEnd)
  const length = Number(reply.slice(1, lineEnd))
  const value = reply.slice(lineEnd + 2, lineEnd + 2 + length)
  return value.length === length ? value : undefined
}

/** @param folder where the server keeps its socket */
export async function startRedis(host: Host, port: number, folder: string): Promise<Redis> {
  const version = await host.mustRun('redis-server', ['--version'])
  // Before version 7, DEBUG needs no permission and the option is an error.
  const isPermissionNeeded = Number(/v=(\d+)/.exec(version)?.[1] ?? 7) >= 7
  const debug = isPermissionNeeded ? ['--enable-debug-command', 'yes'] : []
  const socketPath = `${folder}/redis-${host.name}.sock`
  const any = host.addresses.some((address) => address.includes(':')) ? ['0.0.0.0', '::'] : ['0.0.0.0']
  const network = ['--port', `${port}`, '--bind', ...any, '--protected-mode', 'no', '--unixsocket', socketPath]
  const memoryOnly = ['--save', '', '--appendonly', 'no', '--dir', folder]
  const program = host.spawn('redis-server', [...network, ...memoryOnly, ...debug])
  await program.waitForLine('stdout', (line) => /ready to accept connections/i.test(line))
  await host.waitForPort(port)
  return new Redis(program, socketPath)
}
