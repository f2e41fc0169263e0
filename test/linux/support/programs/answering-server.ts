/**
 * A server that echoes requests, and prints a line for each connection and each request.
 * answering-server.js PORT MODE: `keep` echoes, `close` echoes and closes, `refuse` closes without an answer, and `slow`
 * echoes after SLOW_MS and prints whether the client was still there
 */
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const SLOW_MS = 1000
const [, , port, mode = 'keep'] = process.argv

async function answer(socket: Socket, request: Uint8Array): Promise<void> {
  if (mode === 'refuse') {
    socket.end()
    return
  }
  if (mode === 'slow') await sleep(SLOW_MS)
  console.log(socket.readableEnded || socket.destroyed ? 'gone' : 'answered')
  socket.write(request)
  // It reads no more. With `end` alone it would.
  if (mode === 'close') socket.destroySoon()
}

createServer({ allowHalfOpen: true }, (socket) => {
  console.log('connection')
  const busy = new Set<Promise<void>>()
  socket.on('data', (request: Uint8Array) => {
    const answered = answer(socket, request)
    busy.add(answered)
    void answered.finally(() => busy.delete(answered))
  })
  socket.on('end', () => void Promise.all(busy).then(() => socket.end()))
  socket.on('error', () => socket.destroy())
}).listen(Number(port), '0.0.0.0')
