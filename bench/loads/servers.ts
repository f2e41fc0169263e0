/** Servers that count requests without writing a line for each, and take many connections. All listen on PORT. */
import { writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { PORT } from '../../lab/hosts/copy-lab.ts'
import type { Host } from '../../lab/hosts/host.ts'
import { type Program, whileAllRun } from '../../lab/hosts/program.ts'
import type { StartServer } from '../../lab/loads/server.ts'

/** Of a process: systems commonly allow 20,000 or more, and only the privileged may ask for more than allowed. */
const DESCRIPTORS_MAX = 19_900
/** memcached answers our questions here, away from what is copied. */
const QUESTION_PORT = PORT + 1

/** A program of the host with as many descriptors as may be had. */
export function spawnWithDescriptors(host: Host, command: string, args: readonly string[]): Program {
  return host.spawn('prlimit', [`--nofile=${DESCRIPTORS_MAX}:${DESCRIPTORS_MAX}`, command, ...args])
}

/** Requests of an nginx as stub_status tells them, our own questions left out. */
class CountingNginx {
  readonly program: Program
  readonly #socketPath: string
  #questions = 0

  constructor(program: Program, socketPath: string) {
    this.program = program
    this.#socketPath = socketPath
  }

  async requestCount(): Promise<number> {
    this.#questions++
    const page = await get(this.#socketPath, '/status')
    const [, requests] = /requests\s+\d+ \d+ (\d+)/.exec(page) ?? []
    if (requests === undefined) throw new Error(`${this.program.name} tells no number of requests: ${page}`)
    return Number(requests) - this.#questions
  }

  /** Every answer is the same: there is nothing to tell servers apart by. */
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

/** nginx without a log: 512 octets at `/`, 20 KB at `/20k`. @param workers each takes some 19,900 connections */
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

/** memcached, asked for the number of its SETs. */
class Memcached {
  readonly program: Program
  readonly #host: Host

  constructor(host: Host, program: Program) {
    this.#host = host
    this.program = program
  }

  async requestCount(): Promise<number> {
    const question = `exec 3<>/dev/tcp/127.0.0.1/${QUESTION_PORT}; printf 'stats\\r\\nquit\\r\\n' >&3; cat <&3`
    const answer = await this.#host.mustRun('bash', ['-c', question])
    return Number(/STAT cmd_set (\d+)/.exec(answer)?.[1] ?? Number.NaN)
  }

  /** Every request sets the same. */
  async digest(): Promise<string> {
    return ''
  }
}

export const startMemcached: StartServer = async (host) => {
  const addresses = `0.0.0.0:${PORT},127.0.0.1:${QUESTION_PORT}`
  const program = host.spawn('memcached', ['-u', 'root', '-t', '1', '-U', '0', '-l', addresses])
  await host.waitForPort(PORT)
  await host.waitForPort(QUESTION_PORT)
  return new Memcached(host, program)
}
