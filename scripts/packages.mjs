// Debian packages: which are missing (by what they provide, not by dpkg's list), and their installation.
// `node scripts/packages.mjs` installs all that the lab, the tests and the loads use.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** An ordinary user's PATH on Debian lacks the system's programs. */
const systemFolders = ['/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']
export const searchPath = [...new Set([...(process.env.PATH ?? '').split(delimiter), ...systemFolders])].join(delimiter)

const provisions = {
  iproute2: { programs: ['ip'] },
  'redis-server': { programs: ['redis-server'], service: 'redis-server' },
  'redis-tools': { programs: ['redis-cli', 'redis-benchmark'] },
  ethtool: { programs: ['ethtool'] },
  tcpdump: { programs: ['tcpdump'] },
  iptables: { programs: ['iptables', 'iptables-legacy'] },
  nftables: { programs: ['nft'], service: 'nftables' },
  'nginx-light': { programs: ['nginx'], service: 'nginx' },
  'apache2-utils': { programs: ['ab'] },
  wrk: { programs: ['wrk'] },
  memcached: { programs: ['memcached'], service: 'memcached' },
  'libpcap0.8': { library: 'libpcap.so.0.8' }
}

/** What the main job of `npm start` uses. */
export const startPackages = ['iproute2', 'redis-server', 'redis-tools', 'ethtool', 'tcpdump', 'libpcap0.8']
/** What the tests use. */
export const testPackages = [...startPackages, 'iptables', 'nftables']
/** What the loads of `npm run lossless` use. */
export const loadPackages = [...testPackages, 'nginx-light', 'apache2-utils']
/** What the benchmark uses. */
export const benchPackages = [...loadPackages, 'wrk', 'memcached']

const policyPath = '/usr/sbin/policy-rc.d'
const policyMark = '# Made by the set-up of tcpcopy while it installs packages; safe to remove.'
const policy = `#!/bin/sh\n${policyMark}\nexit 101\n`

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function hasProgram(name) {
  return searchPath.split(delimiter).some((folder) => folder !== '' && isExecutable(join(folder, name)))
}

function hasLibrary(name) {
  const { stdout } = spawnSync('ldconfig', ['-p'], { env: { ...process.env, PATH: searchPath }, encoding: 'utf8' })
  return (stdout ?? '').split('\n').some((line) => line.trim().startsWith(`${name} `))
}

/** The packages of the list that provide something this machine lacks. */
function missingPackages(packages) {
  return packages.filter((name) => {
    const { programs = [], library } = provisions[name]
    return !programs.every(hasProgram) || (library !== undefined && !hasLibrary(library))
  })
}

/** Runs a program with its output on stderr; a signal to us is handed on and its end awaited. */
async function run(command, args, signals) {
  const env = { ...process.env, PATH: searchPath, DEBIAN_FRONTEND: 'noninteractive' }
  const child = spawn(command, args, { env, stdio: ['ignore', 2, 2] })
  signals.forward = (signal) => child.kill(signal)
  const status = await new Promise((resolve) => {
    child.on('error', () => resolve(127))
    child.on('close', (code) => resolve(code ?? 1))
  })
  signals.forward = undefined
  return status
}

/** Debian starts a service when it installs it, unless this file says no. Not ours to touch if there is one. */
function forbidServices() {
  if (existsSync(policyPath)) return readFileSync(policyPath, 'utf8').includes(policyMark)
  writeFileSync(policyPath, policy, { mode: 0o755 })
  return true
}

/** The service is of no use here: only its program is. It would otherwise start at the next boot. */
async function disableServices(packages, signals) {
  for (const name of packages) {
    const { service, programs = [] } = provisions[name]
    if (service === undefined || !programs.every(hasProgram)) continue
    if (hasProgram('systemctl')) {
      const now = existsSync('/run/systemd/system') ? ['--now'] : []
      await run('systemctl', ['disable', ...now, service], signals)
    } else if (hasProgram('update-rc.d')) {
      await run('update-rc.d', [service, 'disable'], signals)
    }
  }
}

async function install(packages, signals) {
  console.error(`Installing Debian packages: ${packages.join(' ')}…`)
  const isPolicyOurs = forbidServices()
  try {
    // An index that cannot be fetched matters only if the installation then fails.
    await run('apt-get', ['-q', 'update'], signals)
    if (signals.caught) return false
    const status = await run('apt-get', ['-q', 'install', '-y', '--no-install-recommends', ...packages], signals)
    await disableServices(packages, signals)
    return status === 0
  } finally {
    if (isPolicyOurs) rmSync(policyPath, { force: true })
  }
}

/**
 * Installs what is missing of the list.
 * @returns undefined, or a message that says what is missing and what to do
 */
export async function ensurePackages(packages) {
  const missing = missingPackages(packages)
  if (missing.length === 0) return undefined
  const command = `apt-get update && apt-get install --no-install-recommends ${missing.join(' ')}`
  if (!hasProgram('apt-get')) return `Missing: ${missing.join(' ')} (Debian's names). Install them and start again.`
  if (process.getuid() !== 0) return `Missing Debian packages: ${missing.join(' ')}. As root: ${command}`

  const signals = { caught: undefined, forward: undefined }
  const listen = (signal) => {
    signals.caught ??= signal
    signals.forward?.(signal)
  }
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const name of names) process.on(name, listen)
  try {
    const isDone = await install(missing, signals)
    if (signals.caught) return `Interrupted by ${signals.caught} while installing: ${missing.join(' ')}.`
    const left = missingPackages(packages)
    if (isDone && left.length === 0) return undefined
    return `Could not install: ${(left.length > 0 ? left : missing).join(' ')}; apt's messages are above. By hand: ${command}`
  } finally {
    for (const name of names) process.off(name, listen)
  }
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const problem = await ensurePackages(benchPackages)
  if (problem !== undefined) {
    console.error(problem)
    process.exitCode = 1
  }
}
