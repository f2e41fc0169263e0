/**
 * A server that echoes requests, and prints a line for each connection and each request.
 * answering-server.js PORT MODE: `keep` echoes, `close` echoes and closes, `late` echoes and closes LATE_MS later without
 * reading on, `refuse` closes without an answer, `cut` resets in the middle of its answer, `silent` never answers, and
 * `slow` echoes after SLOW_MS and prints whether the client was still there
 */
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

const SLOW_MS = 1000
const LATE_MS = 50
const [, , port, mode = 'keep'] = process.argv

async function answer(socket: Socket, request: Uint8Array): Promise<void> {
  if (mode === 'refuse') {
    socket.end()
    return
  }
  if (mode === 'slow') await sleep(SLOW_MS)
  if (mode === 'late') socket.pause()
  console.log(socket.readableEnded || socket.destroyed ? 'gone' : 'answered')
  if (mode === 'silent') return
  if (mode === 'cut') {
    socket.write(request.subarray(0, request.length / 2), () => setTimeout(() => socket.resetAndDestroy(), LATE_MS))
    return
  }
  socket.write(request)
  if (mode === 'late') setTimeout(() => socket.destroy(), LATE_MS)
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
