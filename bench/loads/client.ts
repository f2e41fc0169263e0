/**
 * A program for the client of the lab: connections with one request in flight each. All answers of a run are as long as the
 * first one. Prints `open` when every connection has received an answer, and ends when its time is up. client.js TASK
 */
import { connect, type Socket } from 'node:net'
import type { ClientTask, Protocol } from './client-task.ts'

// as: the benchmark wrote it.
const task = JSON.parse(process.argv[2] ?? '') as ClientTask
/** Connections that open at the same time: an overflow of the server's backlog would cost seconds. */
const OPENING_MAX = 200

const requests: Readonly<Record<Protocol, string>> = {
  redis: `*3\r\n$3\r\nSET\r\n$6\r\nclient\r\n$64\r\n${'x'.repeat(64)}\r\n`,
  memcached: `set client 0 0 64\r\n${'x'.repeat(64)}\r\n`,
  http: `GET / HTTP/1.1\r\nHost: lab\r\n${task.isShort ? 'Connection: close\r\n' : ''}\r\n`
}
const request = Buffer.from(requests[task.protocol])
let answerLength = 0
let opened = 0
let begun = 0
let endMs = Number.POSITIVE_INFINITY

/** @returns 0 if the start of the answer does not tell */
function lengthOf(answer: string): number {
  if (task.protocol !== 'http') return answer.indexOf('\r\n') + 2
  const content = /content-length: (\d+)/i.exec(answer)?.[1]
  return content === undefined ? 0 : answer.indexOf('\r\n\r\n') + 4 + Number(content)
}

function ask(socket: Socket): void {
  if (performance.now() < endMs) socket.write(request)
  else socket.end()
}

function open(): void {
  const { host, port, addresses = [], localPort } = task
  const localAddress = addresses[begun++ % addresses.length]
  const local = { ...(localAddress && { localAddress }), ...(localPort && { localPort }) }
  const socket = connect({ host, port, noDelay: true, ...local })
  let received = 0
  let isOpen = false
  socket.on('connect', () => ask(socket))
  socket.on('data', (bytes) => {
    if (answerLength === 0) answerLength = lengthOf(bytes.toString('latin1'))
    received += bytes.length
    if (received < answerLength) return
    received = 0
    if (!isOpen) onOpen()
    isOpen = true
    if (task.seconds === 0 || task.isShort) return
    if (task.intervalMs === undefined) ask(socket)
    else setTimeout(ask, task.intervalMs, socket)
  })
  socket.on('close', () => {
    if (task.isShort && performance.now() < endMs) open()
  })
}

function onOpen(): void {
  opened++
  if (opened === task.connections) console.log('open')
  else if (begun < task.connections) open()
}

if (task.seconds > 0) endMs = performance.now() + 1000 * task.seconds
for (let number = 0; number < Math.min(OPENING_MAX, task.connections); number++) open()
