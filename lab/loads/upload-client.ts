/**
 * A program for the client of the lab: uploads bodies, each with its own pattern, on several connections at once.
 * upload-client.js HOST PORT CONNECTIONS BODIES BYTES, where BODIES is the number for each connection
 */
import { Agent, request } from 'node:http'

const [, , host, port, connections, bodies, bytes] = process.argv

/** Bytes of a xorshift generator: losing, repeating or reordering segments changes them. */
function pattern(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4))
  let state = seed
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[at] = state
  }
  return new Uint8Array(words.buffer, 0, length)
}

function upload(agent: Agent, path: string, body: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': body.length }
    const sent = request({ agent, host, port, path, method: 'POST', headers }, (response) => {
      response.resume()
      response.on('end', resolve)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

async function connection(number: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  for (let count = 0; count < Number(bodies); count++) {
    await upload(agent, `/${number}/${count}`, pattern(Number(bytes), 1 + number * 1000 + count))
  }
  agent.destroy()
}

await Promise.all(Array.from({ length: Number(connections) }, (_, number) => connection(number)))
