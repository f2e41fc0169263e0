/**
 * A program for the client of the lab: connections to redis that are never idle. Each sends `XADD log:CONNECTION n-0 a 1`
 * with n = 1, 2, 3, …: a redis stream accepts entries only in order, and each once. The answers are the same from a server
 * that received only the later ones.
 * busy-client.js HOST PORT CONNECTIONS REQUESTS, where REQUESTS is the number for each connection; SIGTERM ends it earlier.
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
  // An answer is short enough for one segment.
  socket.on('data', next)
}
