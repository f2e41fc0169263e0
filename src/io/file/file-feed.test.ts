import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'
import { gzipSync } from 'node:zlib'
import { CHUNK_LENGTH, ChunkReceiver, ChunkSender } from './chunks.ts'
import { FileFeed } from './file-feed.ts'

interface Round {
  readonly bytes: Buffer
  readonly failure: string
}

/** Reads a file through feed and chunks. */
async function readRounds(path: string, rounds: number): Promise<Round[]> {
  const { port1, port2 } = new MessageChannel()
  const feed = new FileFeed(path)
  const sender = new ChunkSender(port1, () => {})
  const run = feed.run(sender, rounds)
  const receiver = new ChunkReceiver(port2)
  const read: Round[] = []
  let parts: Buffer[] = []
  while (read.length < rounds) {
    const chunk = receiver.take()
    if (chunk === undefined) await turn()
    else if ('buffer' in chunk) {
      assert.equal(chunk.buffer.byteLength, CHUNK_LENGTH)
      parts.push(Buffer.from(new Uint8Array(chunk.buffer, 0, chunk.length)))
      receiver.giveBack(chunk.buffer)
    } else {
      read.push({ bytes: Buffer.concat(parts), failure: chunk.failure })
      parts = []
    }
  }
  await run
  feed.close()
  sender.close()
  return read
}

async function withFile(content: Uint8Array, use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'file-feed-'))
  try {
    writeFileSync(join(folder, 'file'), content)
    await use(join(folder, 'file'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const content = Buffer.alloc(3_000_000)
for (let at = 0; at < content.length; at++) content[at] = (at * 2654435761) >>> 24

test('a file is read completely, any number of times', async () => {
  await withFile(content, async (path) => {
    const rounds = await readRounds(path, 2)
    for (const { bytes, failure } of rounds) {
      assert.equal(failure, '')
      assert.equal(bytes.equals(content), true)
    }
  })
})

test('gzip files are inflated, even with several members', async () => {
  const zipped = Buffer.concat([gzipSync(content.subarray(0, 1_000_001)), gzipSync(content.subarray(1_000_001))])
  await withFile(zipped, async (path) => {
    for (const { bytes, failure } of await readRounds(path, 2)) {
      assert.equal(failure, '')
      assert.equal(bytes.equals(content), true)
    }
  })
})

test('a truncated or broken gzip file gives everything readable, and the reason for the end', async () => {
  const zipped = gzipSync(content, { level: 0 })
  const broken = Buffer.from(zipped)
  broken.fill(0xff, 2_000_000, 2_100_000)
  for (const damaged of [zipped.subarray(0, 2_000_000), broken]) {
    await withFile(damaged, async (path) => {
      const [round] = await readRounds(path, 1)
      assert.match(round?.failure ?? '', /^read error: /)
      const length = round?.bytes.length ?? 0
      assert.ok(length > 1_900_000, `${length}`)
      assert.equal(round?.bytes.subarray(0, 1_900_000).equals(content.subarray(0, 1_900_000)), true)
    })
  }
})

test('empty files and files of one byte can be read', async () => {
  for (const length of [0, 1]) {
    await withFile(content.subarray(0, length), async (path) => {
      assert.deepEqual(await readRounds(path, 1), [{ bytes: content.subarray(0, length), failure: '' }])
    })
  }
})

test('a file that cannot be opened gives an error that says why', () => {
  assert.throws(() => new FileFeed('/nowhere/file.pcap'), { code: 'no-file', message: /no such file/ })
  assert.throws(() => new FileFeed('/tmp'), { code: 'no-file', message: /directory/ })
})
