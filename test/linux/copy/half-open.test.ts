/** Clients that never acknowledge the source's SYN-ACK. */
import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { ASSISTANT, CLIENT, type CopyLab } from '../../../lab/hosts/copy-lab.ts'
import { copied } from '../support/copied.ts'
import { untilCounter } from '../support/waiting.ts'

const halfOpenClients = fileURLToPath(new URL('../support/programs/half-open-clients.js', import.meta.url))
const CLIENTS = 300
const HALF_OPEN = 64

/** Answers to these clients find a way, on which they get lost. */
async function prepare({ hosts }: CopyLab): Promise<void> {
  await hosts.source.mustRun('ip', ['route', 'add', '10.88.0.0/16', 'via', CLIENT])
  await hosts.target.mustRun('ip', ['route', 'add', '10.88.0.0/16', 'via', ASSISTANT])
}

copied(
  'half-open clients are half-open at the target too, as many as --half-open allows; real ones are copied',
  {
    prepare,
    tcpcopy: ['--half-open', `${HALF_OPEN}`],
    books: { sessionsStarted: HALF_OPEN + 1, 'dropped.synHeld': CLIENTS - HALF_OPEN + 1 }
  },
  async (copy) => {
    const { hosts, lab, tcpcopy } = copy
    await hosts.client.mustRun(process.execPath, [halfOpenClients, `${CLIENTS}`])
    await untilCounter(tcpcopy, 'dropped.synHeld', (count) => count === CLIENTS - HALF_OPEN)
    assert.equal(await lab.ask('SET', 'real', 'yes'), 'OK')
    await copy.untilSame()
    assert.equal(await lab.askTarget('GET', 'real'), 'yes')
    // One a second or later the target would have been acknowledged before.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const sockets = await hosts.target.mustRun('ss', ['-Htan', 'sport', '=', ':6379'])
    const states = sockets.split('\n').map((line) => line.split(/\s+/)[0])
    assert.equal(states.filter((state) => state === 'ESTAB').length, 0, sockets)
    assert.equal(states.filter((state) => state === 'SYN-RECV').length, HALF_OPEN, sockets)
  }
)
