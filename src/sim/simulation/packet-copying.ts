/** Copying with packets: both daemons in one process, networks that lose, duplicate and reorder, and a target with TCP. */
import assert from 'node:assert/strict'
import { copyMemoryLength } from '../../core/sessions/assembly.ts'
import { Copier } from '../../daemon/copier/copier.ts'
import type { CopierSettings } from '../../daemon/copier/settings.ts'
import { Notices } from '../../daemon/notices/notices.ts'
import { Link } from '../network/link.ts'
import { MemoryNetwork } from '../network/memory-network.ts'
import { countingCryptography, MemoryCapture, MemorySender, NotingWaiter, Runner } from '../network/memory-ports.ts'
import { channelOptions, type Weather } from '../scenario/weather.ts'
import type { TargetConnection } from '../target/target-connection.ts'
import { TargetHost } from '../target/target-host.ts'
import { type Copying, copySettingsOf, type Scene, TIMEOUT_MS } from './copying.ts'
import { InterceptHost } from './intercept-host.ts'

export class PacketCopying implements Copying {
  readonly #scene: Scene
  readonly #capture = new MemoryCapture()
  readonly #copier: Copier
  readonly #copierRunner: Runner
  readonly #intercept: InterceptHost
  readonly #target: TargetHost

  constructor(scene: Scene) {
    const { weather, scheduler, random, counters, diary, conversationAt } = scene
    this.#scene = scene
    const wakeCopier = (): void => this.#copierRunner.poke()
    const network = new MemoryNetwork(scheduler, random, weather.channel, wakeCopier, () => this.#intercept.poke())
    this.#intercept = new InterceptHost(weather, scheduler, network)
    const toAssistant = new Link(scheduler, random, weather.toAssistant, (packet) => this.#intercept.onPacket(packet))
    this.#target = new TargetHost(
      weather.target,
      scheduler,
      random,
      (syn) => conversationAt(syn.seq),
      (answer) => {
        diary.packet('target', answer)
        toAssistant.send(answer)
      }
    )
    const toTarget = new Link(scheduler, random, weather.toTarget, (packet, sentAt) =>
      this.#target.onPacket(packet, sentAt)
    )
    const sender = new MemorySender(
      (packet) => {
        diary.packet('sent', packet)
        toTarget.send(packet)
      },
      () => random.chance(weather.copier.sendRefused)
    )
    const waiter = new NotingWaiter()
    const cryptography = countingCryptography()
    const silent = { notices: new Notices(), log: () => {} }
    const ports = { capture: this.#capture, sender, network, cryptography, clock: scheduler, waiter, ...silent }
    const settings = settingsOf(weather)
    const memory = new Uint8Array(copyMemoryLength(settings.limits))
    this.#copier = new Copier(ports, settings, { memory, counters })
    const hasInput = (): boolean => this.#capture.waiting.length > 0 || network.hasInputForClient
    this.#copierRunner = new Runner(scheduler, waiter, () => this.#copier.turn(), hasInput)
    for (const { at, forMs } of weather.copier.pauses) scheduler.after(at, () => this.#copierRunner.pause(forMs))
  }

  get connections(): readonly TargetConnection[] {
    return this.#target.connections
  }

  get sessionCount(): number {
    return this.#copier.sessions.count
  }

  begin(): void {
    this.#copierRunner.poke()
    this.#intercept.poke()
  }

  captured(packet: Uint8Array): void {
    this.#capture.waiting.push(packet)
    this.#copierRunner.poke()
  }

  missed(): void {
    this.#capture.lostCount += 1
  }

  stop(): void {
    const { sessions } = this.#copier
    this.#copier.stop()
    sessions.onTimer(this.#scene.scheduler.now() + TIMEOUT_MS + 1)
    assert.equal(sessions.entryCount, 0, 'tables are not empty')
  }
}

function settingsOf(weather: Weather): CopierSettings {
  return {
    ...copySettingsOf(weather),
    packets: { mtuBytes: 1500, mssBytes: undefined },
    channel: {
      intercepts: [{ address: 0x0a000004, port: 36524 }],
      connectionsEach: 2,
      options: channelOptions(weather.channel).copier
    }
  }
}
