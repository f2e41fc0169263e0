/** Finds programs that serve a port elsewhere: in another network namespace, or behind a published port. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { OtherListener, PublishedPort } from '../../doctor/capture-silence.ts'

/** Namespaces that are looked into. */
const NAMESPACES_MAX = 256
/** Listeners come first in the kernel's lists. */
const LIST_LENGTH_MAX = 65_536
const LISTENING = '0A'

/** @returns '' if it cannot be read */
function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return '' // the process has ended, or belongs to another user
  }
}

function processIds(): readonly number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger)
}

/** Programs that listen on a TCP port in other network namespaces: one for each namespace that this user may see. */
export function listenersElsewhere(port: number): readonly OtherListener[] {
  const seen = new Set([namespaceOf('self')])
  const found: OtherListener[] = []
  for (const pid of processIds()) {
    const namespace = namespaceOf(`${pid}`)
    if (namespace === undefined || seen.has(namespace) || seen.size > NAMESPACES_MAX) continue
    seen.add(namespace)
    const isListening = ['tcp', 'tcp6'].some((list) => hasListener(textOf(`/proc/${pid}/net/${list}`), port))
    if (isListening) found.push({ pid, program: textOf(`/proc/${pid}/comm`).trim() })
  }
  return found
}

function namespaceOf(pid: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return undefined
  }
}

/** @param list as in /proc/net/tcp */
function hasListener(list: string, port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return list
    .slice(0, LIST_LENGTH_MAX)
    .split('\n')
    .some((line) => {
      const [, local = '', , state] = line.trim().split(/\s+/)
      return state === LISTENING && local.endsWith(suffix)
    })
}

/** Ports of this host that lead to a port elsewhere: by docker-proxy, or by rules of iptables or nft. */
export function publishedPorts(toPort: number, rules: readonly string[]): readonly PublishedPort[] {
  const found = [...proxies(), ...rules.flatMap(translationIn)]
  const wanted = found.filter((one) => one.toPort === toPort && one.port !== toPort)
  return wanted.filter((one, index) => wanted.findIndex(({ port, to }) => port === one.port && to === one.to) === index)
}

function proxies(): readonly PublishedPort[] {
  return processIds().flatMap((pid) => {
    const words = textOf(`/proc/${pid}/cmdline`).split('\0')
    if (words[0]?.endsWith('docker-proxy') !== true) return []
    const value = (name: string): string => words[words.indexOf(name) + 1] ?? ''
    const toPort = Number(value('-container-port'))
    return [{ port: Number(value('-host-port')), to: `${value('-container-ip')}:${toPort}`, toPort }]
  })
}

/** `--dport 8080 … --to-destination 172.17.0.2:80`, `tcp dport 8080 … dnat to 172.17.0.2:80`, `redirect to :80`. */
function translationIn(rule: string): PublishedPort[] {
  const port = /dport (\d+)/.exec(rule)?.[1]
  const to = /(?:--to-destination |dnat (?:ip )?to |redirect to |--to-ports )(\S*?):?(\d+)(?=[\s;]|$)/.exec(rule)
  if (port === undefined || to === null) return []
  const [, address = '', toPort = ''] = to
  return [
    { port: Number(port), to: address === '' ? `port ${toPort}` : `${address}:${toPort}`, toPort: Number(toPort) }
  ]
}
