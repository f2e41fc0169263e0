/** The main thread's part of a replay: reads the file for the worker and shows progress. */
import { writeSync } from 'node:fs'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Counter, type Counters } from '../core/books/counters.ts'
import { OperatorError } from '../errors.ts'
import { ChunkSender } from '../io/file/chunks.ts'
import { FileFeed, STANDARD_INPUT } from '../io/file/file-feed.ts'
import { isInBackground } from './background.ts'
import type { LogFile } from './log.ts'
import type { ReplayPlan } from './plans/replay-plan.ts'
import { progressText } from './progress.ts'

const PROGRESS_MS = 500
/** Moves to the start of the line and clears it. */
const CLEAR = '\r\x1b[K'
const STDERR = 2

export class ReplaySource {
  /** The worker's end of the channel. */
  readonly chunks: MessagePort
  readonly #plan: ReplayPlan
  readonly #feed: FileFeed
  readonly #port: MessagePort
  #timer: NodeJS.Timeout | undefined

  /** @throws OperatorError `no-file`, `contradiction` */
  constructor(plan: ReplayPlan) {
    this.#plan = plan
    if (plan.path === STANDARD_INPUT && isInBackground()) {
      throw new OperatorError('contradiction', 'standard input cannot be read in the background', 'Remove --daemon.')
    }
    this.#feed = new FileFeed(plan.path)
    if (plan.rounds !== 1 && !this.#feed.isRepeatable) {
      const hint = 'Write it to a file first, or remove --rounds.'
      throw new OperatorError('contradiction', `--rounds: ${plan.path} can be read only once`, hint)
    }
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.chunks = port2
  }

  /** @param wake wakes the worker */
  start(wake: () => void, logFile: LogFile, counters: () => Counters): void {
    // Read errors go to the worker, in sequence with the data.
    void this.#feed.run(new ChunkSender(this.#port, wake), this.#plan.rounds)
    if (!process.stderr.isTTY) return
    const beganAt = performance.now()
    logFile.lineStart = CLEAR
    this.#timer = setInterval(() => {
      const done = { octets: this.#feed.position, packets: counters().get(Counter.filePackets) }
      const text = progressText(done, this.#feed.length, performance.now() - beganAt, this.#plan.rounds)
      writeSync(STDERR, `${CLEAR}${text}`)
    }, PROGRESS_MS)
  }

  close(): void {
    if (this.#timer !== undefined) writeSync(STDERR, CLEAR)
    clearInterval(this.#timer)
    this.#feed.close()
    this.#port.close()
  }
}
