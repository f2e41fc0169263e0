// Runs a program in network, mount and process namespaces of its own: as root directly, as an ordinary user inside
// a user namespace. Whatever the program does to devices, routes, mounts and processes vanishes with it.
import { spawn, spawnSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { searchPath } from './packages.mjs'
import { root } from './setup.mjs'

const init = join(root, 'scripts', 'namespace-init.sh')
const exitCodeOfLostChild = 1

function unshareArguments() {
  // An ordinary user keeps the own uid and gets all capabilities: as uid 0 without a second uid, tcpdump would try to
  // drop privileges, and fail.
  const asUser = process.getuid() === 0 ? [] : ['--user', '--map-current-user', '--keep-caps']
  return [...asUser, '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--', 'bash', init]
}

function environment() {
  return {
    ...process.env,
    // The Node that runs us first, for the programs' launchers.
    PATH: [dirname(process.execPath), searchPath].join(delimiter),
    // lab/private-namespaces.ts refuses to work where these two are one.
    TCPCOPY_LAB_OUTSIDE: readlinkSync('/proc/self/ns/net')
  }
}

/** Why there can be no private namespaces here, or undefined. */
export function namespaceProblem() {
  const { status, stderr, error } = spawnSync('unshare', [...unshareArguments(), 'ip', 'link', 'set', 'lo', 'up'], {
    env: environment(),
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    encoding: 'utf8'
  })
  if (error) return `unshare (package util-linux) could not be started: ${error.message}`
  if (status === 0) return undefined
  const who = process.getuid() === 0 ? 'root here (a container without CAP_SYS_ADMIN?)' : 'an ordinary user'
  return `The kernel refuses network namespaces to ${who}: ${stderr.trim() || `exit ${status}`}.`
}

/**
 * Runs the program inside and hands on SIGINT, SIGTERM and SIGHUP. If we die without a word, the pipe closes and
 * process 1 of the namespaces ends, and with it everything inside.
 * @returns the program's exit code, 128 + n if signal n ended it
 */
export async function runInNamespaces(command, args) {
  const child = spawn('unshare', [...unshareArguments(), command, ...args], {
    env: environment(),
    // Away from the terminal's Ctrl-C: the signal comes once, through the pipe.
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe']
  })
  const control = child.stdio[3]
  // Writing to a program that has just ended is not worth a word.
  control.on('error', () => {})
  const hand = (signal) => control.write(`${signal}\n`)
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const name of names) process.on(name, hand)
  try {
    return await new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('exit', (code) => resolve(code ?? exitCodeOfLostChild))
    })
  } finally {
    for (const name of names) process.off(name, hand)
    control.destroy()
  }
}
