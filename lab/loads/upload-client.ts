/**
 * A program for the client of the lab: uploads bodies, each of another pattern, on several connections at once.
 * upload-client.js HOST PORT CONNECTIONS BODIES OCTETS, where BODIES are those of each connection
 */
import { Agent, request } from 'node:http'

const [, , host, port, connections, bodies, octets] = process.argv

/** Octets that no cut, gap or exchange of segments leaves the same: a xorshift generator's. */
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
    await upload(agent, `/${number}/${count}`, pattern(Number(octets), 1 + number * 1000 + count))
  }
  agent.destroy()
}

await Promise.all(Array.from({ length: Number(connections) }, (_, number) => connection(number)))
