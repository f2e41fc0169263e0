/** `--trace`: prints every packet of the chosen clients in packetdrill notation, with the session's state. */
import { Drop, dropNames } from '../../core/books/drop.ts'
import { Outbox } from '../../core/packets/outbox.ts'
import { type Purpose, purposeTexts } from '../../core/packets/purpose.ts'
import { type SessionState, stateNames } from '../../core/session/session-state.ts'
import type { CopyTrace } from '../../core/sessions/assembly.ts'
import type { CapturedClient, ControlBlock } from '../../core/tcp/control-block.ts'
import { formatEndpoint } from '../../wire/address.ts'
import { parseIp } from '../../wire/ipv6.ts'
import { formatSegment } from '../../wire/packetdrill.ts'
import { Segment } from '../../wire/segment.ts'
import type { TraceTarget } from '../options/trace-target.ts'
import { Control, type WorkerMessage } from './worker-protocol.ts'

/** Lines that may wait for the log; more are skipped and counted. */
const LINES_MAX = 10_000

export class LineTrace implements CopyTrace {
  readonly #target: TraceTarget
  readonly #memory: Uint8Array
  readonly #say: (message: WorkerMessage) => void
  readonly #control: Int32Array
  readonly #sent = new Segment()
  #leftOut = 0

  /** @param memory of the outbox @param control counts the lines that wait for the log */
  constructor(target: TraceTarget, memory: Uint8Array, say: (message: WorkerMessage) => void, control: Int32Array) {
    this.#target = target
    this.#memory = memory
    this.#say = say
    this.#control = control
  }

  captured(segment: Segment, state: SessionState | undefined): void {
    if (!this.#isWanted(segment.fromAddress, segment.fromPort)) return
    this.#print('captured', formatEndpoint(segment.fromAddress, segment.fromPort), segment, state, '')
  }

  answered(segment: Segment, client: CapturedClient | undefined, state: SessionState | undefined): void {
    const address = client?.capturedAddress ?? segment.toAddress
    const port = client?.capturedPort ?? segment.toPort
    if (this.#isWanted(address, port)) this.#print('answered', formatEndpoint(address, port), segment, state, '')
  }

  refused(address: number, port: number, drop: Drop): void {
    if (!this.#isWanted(address, port)) return
    this.#line(`${performance.now().toFixed(3)} ${formatEndpoint(address, port)} dropped  (${dropNames[drop]})`)
  }

  sent({ identity, state }: ControlBlock, headerAt: number, payloadLength: number, purpose: Purpose): void {
    const { capturedAddress, capturedPort } = identity
    if (!this.#isWanted(capturedAddress, capturedPort)) return
    const length = payloadLength + Outbox.headerStride
    parseIp(this.#memory, headerAt, length, length, true, this.#sent)
    const where = formatEndpoint(capturedAddress, capturedPort)
    this.#print('sent    ', where, this.#sent, state, purposeTexts[purpose] ?? '')
  }

  waits({ capturedAddress, capturedPort }: CapturedClient, why: string): void {
    if (!this.#isWanted(capturedAddress, capturedPort)) return
    const where = formatEndpoint(capturedAddress, capturedPort)
    this.#line(`${performance.now().toFixed(3)} ${where} waits    for ${why}`)
  }

  ended({ capturedAddress, capturedPort }: CapturedClient, reason: Drop): void {
    if (!this.#isWanted(capturedAddress, capturedPort)) return
    const why = reason === Drop.None ? 'closed' : (dropNames[reason] ?? '')
    this.#line(`${performance.now().toFixed(3)} ${formatEndpoint(capturedAddress, capturedPort)} ended    (${why})`)
  }

  #isWanted(address: number, port: number): boolean {
    const { address: wanted, port: wantedPort } = this.#target
    return (wanted === 0 || wanted === address) && (wantedPort === 0 || wantedPort === port)
  }

  #print(what: string, where: string, segment: Segment, state: SessionState | undefined, why: string): void {
    const stateName = state === undefined ? '-' : stateNames[state]
    const reason = why === '' ? '' : ` (${why})`
    const time = performance.now().toFixed(3)
    this.#line(`${time} ${where} ${what} ${stateName} ${formatSegment(segment)}${reason}`)
  }

  #line(line: string): void {
    if (Atomics.load(this.#control, Control.TraceLines) >= LINES_MAX) {
      this.#leftOut += 1
      return
    }
    if (this.#leftOut > 0) this.#post(`… ${this.#leftOut} lines skipped: the log is too slow`)
    this.#leftOut = 0
    this.#post(line)
  }

  #post(line: string): void {
    Atomics.add(this.#control, Control.TraceLines, 1)
    this.#say({ type: 'trace', line })
  }
}
