/** Servers that report what they have received. All listen on PORT. */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PORT } from '../hosts/copy-lab.ts'
import type { Host } from '../hosts/host.ts'
import type { Program } from '../hosts/program.ts'
import { Redis, startRedis } from '../job/redis.ts'

export interface Server {
  readonly program: Program
  /** How many requests it has received. */
  requestCount(): Promise<number>
  /** The same on two servers that received the same requests, in whatever order across connections. */
  digest(): Promise<string>
}

/** @param folder for the server's files */
export type StartServer = (host: Host, folder: string) => Promise<Server>

export const startRedisServer: StartServer = async (host, folder) => await startRedis(host, PORT, folder)

/**
 * Checks the streams of busy-client.ts, one for each connection: the target must have a gapless end of each, and nothing
 * else.
 * @returns problems, in sentences
 */
export async function findMissingEnds(source: Server, target: Server, connections: number): Promise<readonly string[]> {
  if (!(source instanceof Redis && target instanceof Redis)) throw new Error('Only redis has streams.')
  const originals = await source.streams('log:', connections)
  const copies = await target.streams('log:', connections)
  const problems: string[] = []
  for (const [number, entries] of originals.entries()) {
    const copy = copies[number] ?? []
    const isEnd = copy.length > 0 && copy.every((id, index) => id === entries[entries.length - copy.length + index])
    if (!isEnd) problems.push(`Connection ${number}: ${copy.length} of ${entries.length} requests, not its last ones.`)
  }
  const taken = copies.reduce((sum, copy) => sum + copy.length, 0)
  const surplus = (await target.requestCount()) - taken
  if (surplus !== 0) problems.push(`The target received ${surplus} requests twice or out of order.`)
  return problems
}

/** A server that writes a line for each request. */
class LoggingServer implements Server {
  readonly program: Program
  readonly #log: () => string

  constructor(program: Program, log: () => string) {
    this.program = program
    this.#log = log
  }

  async requestCount(): Promise<number> {
    return this.#lines().length
  }

  async digest(): Promise<string> {
    const sorted = this.#lines().sort()
    return createHash('sha256').update(sorted.join('\n')).digest('hex')
  }

  #lines(): string[] {
    return this.#log()
      .split('\n')
      .filter((line) => line !== '')
  }
}

/** nginx with one worker and a page of 512 bytes at every path, which counts by its access log. */
export const startNginx: StartServer = async (host, folder) => {
  const log = join(folder, `access-${host.name}.log`)
  const configuration = join(folder, `nginx-${host.name}.conf`)
  writeFileSync(
    configuration,
    `daemon off; master_process off; pid ${folder}/nginx-${host.name}.pid; error_log stderr warn;
    events { worker_connections 4096; }
    http {
      log_format requests '$request $request_length $status';
      access_log ${log} requests;
      client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
      uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
      server { listen ${PORT}; location / { return 200 "${'x'.repeat(512)}"; } }
    }`
  )
  const program = host.spawn('nginx', ['-c', configuration, '-p', folder])
  await host.waitForPort(PORT)
  return new LoggingServer(program, () => readFileSync(log, 'latin1'))
}

const uploadServer = fileURLToPath(new URL('./upload-server.js', import.meta.url))

/** An HTTP server that prints the digest of each upload. */
export const startUploadServer: StartServer = async (host) => {
  const program = host.spawn(process.execPath, [uploadServer, `${PORT}`])
  await host.waitForPort(PORT)
  return new LoggingServer(program, () => program.stdout)
}
