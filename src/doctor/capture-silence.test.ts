import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CaptureSilence, explainSilence, isIdle, type SeenTraffic } from './capture-silence.ts'

const SILENCE: CaptureSilence = {
  source: '*:8080',
  port: 8080,
  seconds: 10,
  listens: true,
  clients: 0,
  receives: false,
  devices: [],
  seen: [],
  others: [],
  published: []
}

function seen(to: string, from: string, direction: SeenTraffic['direction'] = 'in', packets = 5): SeenTraffic {
  const port = (endpoint: string): number => Number(endpoint.split(':')[1])
  return { device: 'eth0', direction, to, toPort: port(to), from, fromPort: port(from), packets }
}

const explain = (silence: Partial<CaptureSilence>): string => explainSilence({ ...SILENCE, ...silence }).join('\n')

test('a service without clients is idle, and one whose clients send is not', () => {
  assert.equal(isIdle(SILENCE), true)
  assert.equal(isIdle({ ...SILENCE, clients: 3 }), true)
  assert.equal(isIdle({ ...SILENCE, clients: 3, receives: true }), false)
  assert.equal(isIdle({ ...SILENCE, listens: false }), false)
  assert.equal(isIdle({ ...SILENCE, seen: [seen('10.0.0.1:8080', '10.0.0.9:40000')] }), false)
})

test('a wrong port is told by the busiest ones', () => {
  assert.equal(
    explain({
      listens: false,
      seen: [
        seen('10.0.0.1:80', '10.0.0.9:40000', 'in', 123),
        seen('10.0.0.9:40000', '10.0.0.1:80', 'out', 120),
        seen('10.0.0.1:22', '10.0.0.8:50000', 'in', 3)
      ]
    }),
    'nothing listens on port 8080 of this host. Check the port in -x\n' +
      'busiest instead: 10.0.0.1:80 on eth0 (123 packets a second), 10.0.0.1:22 on eth0 (3 packets a second)'
  )
})

test('traffic to another address than that of -x is named', () => {
  assert.match(
    explain({ source: '10.0.0.1:8080', seen: [seen('10.0.0.5:8080', '10.0.0.9:40000')] }),
    /^eth0 carries traffic to 10\.0\.0\.5:8080, not 10\.0\.0\.1:8080\. Check the address in -x/
  )
})

test('traffic that passes on the link needs -i', () => {
  assert.match(explain({ seen: [seen('10.0.0.5:8080', '10.0.0.9:40000', 'passing')] }), /name the device: -i eth0/)
})

test('a filter that excludes the traffic is named', () => {
  const text = explain({ filter: 'net 10.9.0.0/16', seen: [seen('10.0.0.1:8080', '10.0.0.9:40000')] })
  assert.match(text, /nothing that matches -F net 10\.9\.0\.0\/16/)
})

test('a mirror of the answers alone is told', () => {
  const text = explain({
    listens: undefined,
    devices: ['eth0'],
    seen: [seen('10.0.0.9:40000', '10.0.0.1:8080')]
  })
  assert.match(text, /^eth0 carries only the other direction: packets from 10\.0\.0\.1:8080, none to it/)
  assert.equal(text.split('\n').length, 1)
})

test('another namespace and a published port are told', () => {
  assert.match(
    explain({ listens: false, others: [{ pid: 77, program: 'nginx' }] }),
    /another network namespace, that of process 77 \(nginx\)\. Start tcpcopy there: nsenter -t 77 -n tcpcopy/
  )
  assert.match(
    explain({ listens: false, published: [{ port: 9090, to: '172.17.0.2:8080', toPort: 8080 }] }),
    /port 9090 of this host is published to 172\.17\.0\.2:8080\. Copy what arrives there: -x 9090-/
  )
})

test('clients that send although nothing is captured are told', () => {
  assert.match(
    explain({ clients: 1, receives: true }),
    /data arrives on port 8080 \(1 client connected\), so tcpcopy must see it/
  )
})
