/** Servers that count requests without a log, and accept many connections. All listen on PORT. */
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { PORT } from '../../lab/hosts/copy-lab.ts'
import type { Host } from '../../lab/hosts/host.ts'
import { type Program, whileAllRun } from '../../lab/hosts/program.ts'
import type { StartServer } from '../../lab/loads/server.ts'

/** Descriptors of a process: systems commonly allow 20,000 or more, and only root may raise that limit. */
const DESCRIPTORS_MAX = 19_900
/** A port of memcached for our own queries, which are not copied. */
const QUERY_PORT = PORT + 1

/** Starts a program that may open DESCRIPTORS_MAX descriptors. */
export function spawnWithDescriptors(host: Host, command: string, args: readonly string[]): Program {
  return host.spawn('prlimit', [`--nofile=${DESCRIPTORS_MAX}:${DESCRIPTORS_MAX}`, command, ...args])
}

/** An nginx that counts requests by stub_status; our own queries are excluded. */
class CountingNginx {
  readonly program: Program
  readonly #socketPath: string
  #queries = 0

  constructor(program: Program, socketPath: string) {
    this.program = program
    this.#socketPath = socketPath
  }

  async requestCount(): Promise<number> {
    this.#queries++
    const page = await get(this.#socketPath, '/status')
    const [, requests] = /requests\s+\d+ \d+ (\d+)/.exec(page) ?? []
    if (requests === undefined) throw new Error(`${this.program.name} does not report its requests: ${page}`)
    return Number(requests) - this.#queries
  }

  /** Every answer is the same, so there is nothing to compare. */
  async digest(): Promise<string> {
    return ''
  }
}

function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, agent: false }, (response) => {
      let body = ''
      response.setEncoding('latin1').on('data', (text: string) => {
        body += text
      })
      response.on('end', () => resolve(body))
    })
    sent.on('error', reject)
    sent.end()
  })
}

function configuration(host: Host, folder: string, workers: number): string {
  const processes = workers === 1 ? 'master_process off;' : `worker_processes ${workers}; user root;`
  const shared = workers === 1 ? '' : 'reuseport'
  return `daemon off; ${processes} pid ${folder}/nginx-${host.name}.pid; error_log stderr error;
    events { worker_connections ${DESCRIPTORS_MAX}; }
    http {
      access_log off; sendfile on; open_file_cache max=10; keepalive_requests 1000000000; keepalive_timeout 600s;
      client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder};
      uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
      server {
        listen ${PORT} backlog=4096 ${shared};
        location / { return 200 "${'x'.repeat(512)}"; }
        location /20k { root ${folder}; }
      }
      server { listen unix:${folder}/nginx-${host.name}.sock; location /status { stub_status; } }
    }`
}

/** nginx without a log: 512 bytes at `/`, 20 KB at `/20k`. @param workers each accepts some 19,900 connections */
export function countingNginx(workers: number): StartServer {
  return async (host, folder) => {
    const path = join(folder, `nginx-${host.name}.conf`)
    writeFileSync(join(folder, '20k'), 'x'.repeat(20_000))
    writeFileSync(path, configuration(host, folder, workers))
    const program = spawnWithDescriptors(host, 'nginx', ['-c', path, '-p', folder])
    await whileAllRun([program], () => host.waitForPort(PORT))
    return new CountingNginx(program, `${folder}/nginx-${host.name}.sock`)
  }
}

/** A memcached that counts SETs by its own statistics. */
class Memcached {
  readonly program: Program
  readonly #host: Host

  constructor(host: Host, program: Program) {
    this.#host = host
    this.program = program
  }

  async requestCount(): Promise<number> {
    const query = `exec 3<>/dev/tcp/127.0.0.1/${QUERY_PORT}; printf 'stats\\r\\nquit\\r\\n' >&3; cat <&3`
    const answer = await this.#host.mustRun('bash', ['-c', query])
    return Number(/STAT cmd_set (\d+)/.exec(answer)?.[1] ?? Number.NaN)
  }

  /** Every request sets the same value. */
  async digest(): Promise<string> {
    return ''
  }
}

export const startMemcached: StartServer = async (host) => {
  const addresses = `0.0.0.0:${PORT},127.0.0.1:${QUERY_PORT}`
  const program = host.spawn('memcached', ['-u', 'root', '-t', '1', '-U', '0', '-l', addresses])
  await host.waitForPort(PORT)
  await host.waitForPort(QUERY_PORT)
  return new Memcached(host, program)
}
