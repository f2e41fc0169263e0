/** Hosts made of network namespaces on one bridge. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OperatorError } from '../../src/errors.ts'
import { Host } from './host.ts'
import { assertPrivateNamespaces } from './private-namespaces.ts'
import { Program } from './program.ts'

interface HostPlan {
  /** Addresses of eth0, in a /24 or /64 by default. One IPv6 address turns IPv6 on. */
  readonly addresses: readonly string[]
  /** For instance `{ 'net.ipv4.ip_forward': '1' }`; set before eth0 comes up. */
  readonly sysctls?: Readonly<Record<string, string>>
}

interface RoutePlan<Name extends string> {
  /** The host that gets the route. */
  readonly on: Name
  /** Destination: an address or a network. */
  readonly to: string
  /** Next hop. */
  readonly via: string
}

export interface LabPlan<Name extends string> {
  readonly hosts: Readonly<Record<Name, HostPlan>>
  readonly routes?: readonly RoutePlan<NoInfer<Name>>[]
  /** Whether every eth0 keeps its segmentation and checksum offloads; default false. */
  readonly offloads?: boolean
  /**
   * Whether kernel threads do the work on a packet behind the device that sends it, as other machines would, instead of
   * the process that sent it; default false. Needs root.
   */
  readonly hasNetworkThreads?: boolean
}

/** By default no host forwards packets, uses IPv6, or drops copies for their source address (rp_filter). */
const hostSysctls = {
  'net.ipv6.conf.all.disable_ipv6': '1',
  'net.ipv6.conf.default.disable_ipv6': '1',
  'net.ipv4.ip_forward': '0',
  'net.ipv4.conf.all.rp_filter': '0',
  'net.ipv4.conf.default.rp_filter': '0'
}
/** For hosts with an IPv6 address. Duplicate address detection would delay their first packets by a second. */
const ipv6Sysctls = {
  'net.ipv6.conf.all.disable_ipv6': '0',
  'net.ipv6.conf.default.disable_ipv6': '0',
  'net.ipv6.conf.all.accept_dad': '0',
  'net.ipv6.conf.default.accept_dad': '0'
}
const bridge = 'lab0'
/** For the namespace of the bridge: firewall rules apply on the hosts, not to bridged frames. */
const bridgeSettings = [
  ['/proc/sys/net/ipv6/conf/default/disable_ipv6', '1'],
  ['/proc/sys/net/bridge/bridge-nf-call-iptables', '0'],
  ['/proc/sys/net/bridge/bridge-nf-call-ip6tables', '0']
] as const

/** Hosts made of network namespaces, joined by one bridge. Close it, or open it with `await using`. */
export class Lab<Name extends string> {
  readonly hosts: Readonly<Record<Name, Host>>
  /** For files of the lab; removed with it. */
  readonly folder = mkdtempSync(join(tmpdir(), 'lab-'))
  #isClosed = false

  constructor(hosts: Readonly<Record<Name, Host>>) {
    this.hosts = hosts
  }

  /** A folder below `folder`, which may exist already. */
  subfolder(name: string): string {
    const path = join(this.folder, name)
    mkdirSync(path, { recursive: true })
    return path
  }

  /** Stops all programs and removes the hosts. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const hosts = Object.values<Host>(this.hosts)
    const errors: unknown[] = []
    const attempt = (work: Promise<unknown>) => work.catch((error: unknown) => errors.push(error))
    await Promise.all(hosts.map((host) => attempt(host.close())))
    await attempt(deletePorts())
    for (const host of hosts) await attempt(ip('netns', 'delete', host.name))
    await attempt(ip('link', 'delete', bridge))
    rmSync(this.folder, { recursive: true, force: true })
    if (errors.length > 0) throw new AggregateError(errors, 'The lab could not be removed completely.')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/**
 * Builds the hosts of the plan. Their names are names of namespaces, so there can be one lab at a time.
 * @throws OperatorError outside the namespaces that `npm start` and `npm test` make
 */
export async function openLab<Name extends string>(plan: LabPlan<Name>): Promise<Lab<Name>> {
  assertPrivateNamespaces()
  if (plan.hasNetworkThreads === true && process.getuid?.() !== 0)
    throw new OperatorError('lab-root', 'Only root can use network threads in a lab.', 'Run it as root.')
  const plans = Object.entries<HostPlan>(plan.hosts)
  const hosts = Object.fromEntries(plans.map(([name, { addresses }]) => [name, new Host(name, addresses)]))
  // The entries were made from the plan's own names.
  const lab = new Lab(hosts as Record<Name, Host>)
  try {
    await openBridge()
    for (const [index, [name, hostPlan]] of plans.entries()) await openHost(name, index, hostPlan)
    for (const { on, to, via } of plan.routes ?? []) await ip('-n', on, 'route', 'replace', to, 'via', via)
    if (plan.offloads !== true) {
      const off = ['rx', 'tx', 'sg', 'tso', 'gso', 'gro'].flatMap((name) => [name, 'off'])
      for (const host of Object.values<Host>(lab.hosts)) await host.mustRun('ethtool', ['-K', 'eth0', ...off])
    }
    if (plan.hasNetworkThreads === true) for (const index of plans.keys()) await giveThread(portName(index))
    return lab
  } catch (error) {
    await lab.close().catch(() => {
      // The first error is the one to report.
    })
    throw error
  }
}

async function openBridge(): Promise<void> {
  for (const [path, value] of bridgeSettings) if (existsSync(path)) writeFileSync(path, value)
  await ip('link', 'add', bridge, 'type', 'bridge', 'mcast_snooping', '0')
  await ip('link', 'set', bridge, 'up')
}

async function openHost(name: string, index: number, plan: HostPlan): Promise<void> {
  const port = portName(index)
  await ip('netns', 'add', name)
  const ipv6 = plan.addresses.some((address) => address.includes(':')) ? ipv6Sysctls : {}
  const writes = Object.entries({ ...hostSysctls, ...ipv6, ...plan.sysctls }).map(
    ([key, value]) =>
      `test ! -e /proc/sys/${key.replaceAll('.', '/')} || echo ${value} > /proc/sys/${key.replaceAll('.', '/')}`
  )
  await ip('netns', 'exec', name, 'sh', '-e', '-c', writes.join('\n'))
  await ip('link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
  await ip('link', 'set', port, 'master', bridge, 'up')
  await ip('-n', name, 'link', 'set', 'lo', 'up')
  for (const address of plan.addresses) {
    const isIpv6 = address.includes(':')
    const prefix = address.includes('/') ? address : `${address}/${isIpv6 ? 64 : 24}`
    await ip('-n', name, 'address', 'add', prefix, 'dev', 'eth0', ...(isIpv6 ? ['nodad'] : []))
  }
  await ip('-n', name, 'link', 'set', 'eth0', 'up')
}

/** Only GRO gives a thread something to do, so it is on, with a maximum size at which nothing is merged. */
async function giveThread(port: string): Promise<void> {
  await run('ethtool', '-K', port, 'gro', 'on')
  await ip('link', 'set', port, 'gro_max_size', '1')
  // /sys shows the devices of the network namespace in which it was mounted.
  const write = `mount -t sysfs none /sys && echo 1 > /sys/class/net/${port}/threaded`
  await run('unshare', '--mount', 'sh', '-e', '-c', write)
}

/** The bridge port of a host. */
function portName(index: number): string {
  return `port${index}`
}

/**
 * Deletes all ports of the bridge, also those that tests added. Removing a namespace takes a while, during which its
 * devices would block those of the next lab.
 */
async function deletePorts(): Promise<void> {
  // as: what ip(8) prints
  const ports = JSON.parse(await ip('-j', 'link', 'show', 'master', bridge)) as { ifname: string }[]
  for (const { ifname } of ports) await ip('link', 'delete', ifname)
}

async function ip(...args: string[]): Promise<string> {
  return await run('ip', ...args)
}

/** @returns its stdout. @throws Error with the command's output */
async function run(command: string, ...args: string[]): Promise<string> {
  const program = new Program([command, ...args].join(' '), command, args)
  const { status } = await program.exited
  if (status !== 0) throw new Error(program.describeEnd())
  return program.stdout
}
