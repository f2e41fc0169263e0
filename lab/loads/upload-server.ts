/** A program for a host of the lab: accepts HTTP uploads and prints a line for each. upload-server.js PORT */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'

createServer((request, response) => {
  const hash = createHash('sha256')
  let length = 0
  request.on('data', (bytes: Uint8Array) => {
    length += bytes.length
    hash.update(bytes)
  })
  request.on('end', () => {
    console.log(`${request.url} ${length} ${hash.digest('hex')}`)
    response.end('stored\n')
  })
  request.on('aborted', () => console.log(`${request.url} ended after ${length} bytes`))
}).listen(Number(process.argv[2]), '0.0.0.0')
