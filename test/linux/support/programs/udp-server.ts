/** A UDP server: answers each datagram with its length, and prints at SIGUSR2 what each client has sent, in order. */
import { createHash } from 'node:crypto'
import { createSocket } from 'node:dgram'

const [port, type = 'udp4'] = process.argv.slice(2)
const flows = new Map<string, string[]>()
const socket = createSocket({ type: type === 'udp6' ? 'udp6' : 'udp4', recvBufferSize: 1 << 23 })
socket.on('message', (message, { address, port: from }) => {
  const flow = `${address}:${from}`
  const digest = createHash('sha256').update(message).digest('hex').slice(0, 16)
  const known = flows.get(flow) ?? []
  flows.set(flow, known)
  known.push(`${message.length} ${digest}`)
  socket.send(`${message.length}`, from, address)
})
process.on('SIGUSR2', () => console.log(JSON.stringify([...flows])))
process.on('SIGTERM', () => process.exit(0))
socket.bind(Number(port), () => console.log('bound'))
