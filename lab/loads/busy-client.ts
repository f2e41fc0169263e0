/**
 * A program for the client of the lab: connections to redis that are never idle. On each, `XADD log:CONNECTION n-0 a 1`
 * with n from 1 on, one after the other: a redis stream takes entries in their order only, and each once. The answer is
 * the same on a server that had only the later ones.
 * busy-client.js HOST PORT CONNECTIONS REQUESTS, where REQUESTS are those of each connection; at SIGTERM it asks no more.
 */
import { connect } from 'node:net'

const [, , host, port, connections, requests] = process.argv

let isEnding = false
process.on('SIGTERM', () => {
  isEnding = true
})

for (let number = 0; number < Number(connections); number++) {
  const socket = connect(Number(port), host)
  let sent = 0
  const next = () => {
    if (isEnding || sent === Number(requests)) socket.end()
    else socket.write(`XADD log:${number} ${++sent}-0 a 1\r\n`)
  }
  socket.setNoDelay(true)
  socket.on('connect', next)
  // An answer is short: it comes in one segment.
  socket.on('data', next)
}
