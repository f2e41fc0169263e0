/**
 * A UDP client: in each flow, which has its own port, it sends a datagram of each size, each after the answer to the last.
 * udp-client.js HOST PORT FLOW,FLOW... SIZE SIZE...
 */
import { createSocket } from 'node:dgram'

const [host = '', port, list = '', ...sizes] = process.argv.slice(2)
const flows = list.split(',').map(Number)
let open = flows.length
let strangers = 0

function fill(size: number, seed: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, at) => (at * 31 + (at >>> 8) * 17 + seed) & 255)
}

for (const flow of flows) {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  let next = 0
  const send = (): void => {
    if (next === sizes.length) {
      socket.close()
      open -= 1
      if (open === 0) console.log(JSON.stringify({ strangers }))
    } else socket.send(fill(Number(sizes[next]), flow + next++), Number(port), host)
  }
  socket.on('message', (_, { address }) => {
    if (address === host) send()
    else strangers += 1
  })
  socket.bind(41_000 + flow, send)
}
