/** What a host has received and sent on eth0. */
import type { Host } from './host.ts'

interface DeviceCounters {
  readonly rx: { readonly bytes: number; readonly packets: number }
  readonly tx: { readonly bytes: number; readonly packets: number }
}

export async function deviceCounters(host: Host): Promise<DeviceCounters> {
  const [link] = JSON.parse(await host.mustRun('ip', ['-s', '-j', 'link', 'show', 'dev', 'eth0']))
  return link.stats64
}
