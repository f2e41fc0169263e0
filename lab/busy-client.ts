/**
 * A program for the client of the lab: connections to redis that are never idle. On each, `RPUSH log:CONNECTION n` with
 * n from 1 on, one after the other, so that a list shows which requests a server had and in which order.
 * busy-client.js HOST PORT CONNECTIONS REQUESTS, where REQUESTS are those of each connection
 */
import { connect } from 'node:net'

const [, , host, port, connections, requests] = process.argv

for (let number = 0; number < Number(connections); number++) {
  const socket = connect(Number(port), host)
  let sent = 0
  const next = () => {
    if (sent === Number(requests)) socket.end()
    else socket.write(`RPUSH log:${number} ${++sent}\r\n`)
  }
  socket.setNoDelay(true)
  socket.on('connect', next)
  // The answers are integers, in a segment each.
  socket.on('data', next)
}
