/** On the target: passes each connection back to the source's same port, as a proxy that was set up in a circle. */
import { connect, createServer } from 'node:net'

const [port = '', source = ''] = process.argv.slice(2)
const server = createServer((client) => {
  const back = connect(Number(port), source)
  for (const end of [client, back]) end.on('error', () => {})
  client.pipe(back)
  back.pipe(client)
})
server.listen(Number(port), () => console.log('listening'))
