/** What tcpcopy reports about itself: why no answers arrive, and every packet of a flow. */
import assert from 'node:assert/strict'
import { ASSISTANT, CLIENT, MAP, TCPCOPY } from '../../../lab/hosts/copy-lab.ts'
import { hasMessage } from '../../../lab/hosts/json-log.ts'
import type { Program } from '../../../lab/hosts/program.ts'
import { unchecked } from '../support/books.ts'
import { copied } from '../support/copied.ts'

interface Warning {
  readonly hint: string
  readonly level: string
  readonly disowned: number
}

/** The first log entry with the message, which takes a while to come. */
async function warningOf(tcpcopy: Program, message: string): Promise<Warning> {
  const line = await tcpcopy.waitForLine('stderr', (one) => hasMessage(one, message), 30_000)
  return JSON.parse(line) as Warning // as: our own log
}

copied(
  'without a route on the target, tcpcopy reports that no answers arrive, and what to check',
  {
    routed: [],
    books: { deliveredBytes: 0, droppedBytes: (count, books) => count === books.capturedPayloadBytes }
  },
  async (copy) => {
    const { lab, hosts, tcpcopy } = copy
    const inText = hosts.source.spawn(TCPCOPY, ['-x', MAP, '-s', ASSISTANT, '-f', '1'])
    await inText.waitForLine('stderr', (line) => line.includes('connected to intercept'))
    assert.equal(await lab.ask('SET', 'a', 'b'), 'OK')
    const { hint, level } = await warningOf(tcpcopy, 'no answers from the target')
    assert.equal(level, 'warn')
    assert.match(hint, /10\.77\.0\.2:6379: \d+ connections? not accepted\. Likely causes/)
    // intercept has said that its host does not forward.
    assert.ok(!hint.includes('ip_forward'), hint)
    for (const cause of ['route', 'rp_filter', 'filter', 'on the way']) {
      assert.ok(hint.includes(cause), `${cause} is not in\n${hint}`)
    }
    for (const command of ['ip route get', 'sysctl net.ipv4', 'tcpdump -nni'])
      assert.ok(hint.includes(command), command)
    assert.ok(!hint.includes('intercept is not connected'))
    // The text format has the same, on several lines.
    await inText.waitForLine('stderr', (one) => one.includes('ip route get'), 30_000)
    assert.equal((await inText.stop()).status, 0)
    // The books account for what was captured: nothing of it reached the target.
    await copy.stop()
  }
)

copied(
  'when the assistant starts to forward answers, tcpcopy reports that connections disappear, and why',
  { books: { droppedBytes: unchecked } },
  async (copy) => {
    const settings = [
      'net.ipv4.conf.all.send_redirects=0',
      'net.ipv4.conf.eth0.send_redirects=0',
      'net.ipv4.ip_forward=1'
    ]
    await copy.hosts.assistant.mustRun('sysctl', ['-w', ...settings])
    for (let request = 0; request < 5; request++) assert.equal(await copy.lab.ask('SET', 'a', 'b'), 'OK')
    const message = 'the target lost connections that it had just accepted'
    const { hint, level, disowned } = await warningOf(copy.tcpcopy, message)
    assert.equal(level, 'warn')
    assert.ok(disowned > 0)
    for (const cause of ['tcp-rst', 'ip_forward', 'ip route get', '-c']) assert.ok(hint.includes(cause), hint)
    await copy.stop()
  }
)

copied(
  '--trace all prints what is captured, sent and answered, with the state of the session',
  { tcpcopy: ['--trace', 'all'] },
  async (copy) => {
    const { lab, tcpcopy } = copy
    assert.equal(await lab.ask('SET', 'traced', 'yes'), 'OK')
    await copy.untilSame()
    await tcpcopy.waitForLine('stderr', (line) => / ended +\(/.test(line))
    await copy.finish()
    const lines = tcpcopy.stderr.split('\n').filter((line) => line.includes(` ${CLIENT}:`))
    const find = (pattern: RegExp): string => {
      const line = lines.find((one) => pattern.test(one))
      assert.ok(line !== undefined, `${pattern} is not in\n${lines.join('\n')}`)
      return line
    }
    const captured = find(/ captured \S+ S (\d+):\1\(0\) win \d+ <mss 1460,.*TS val \d+ ecr 0.*wscale \d+>/)
    const sent = find(/ sent +SYN-SENT S \d+:\d+\(0\) win \d+ <mss 1460,/)
    assert.equal(/S (\d+):/.exec(sent)?.[1], /S (\d+):/.exec(captured)?.[1])
    find(/ answered SYN-SENT S\. \d+:\d+\(0\) ack \d+ win \d+ </)
    find(/ captured \S+ P\. \d+:\d+\([1-9]\d*\) ack \d+ win/)
    find(/ sent +ESTABLISHED P\. \d+:\d+\([1-9]\d*\) ack \d+ win/)
    find(/ dropped +\(pureAck\)/)
    find(/ ended +\(closed\)/)
  }
)

copied(
  '--trace with the address of one client prints nothing of the others',
  { tcpcopy: ['--trace', '10.77.0.99'] },
  async (copy) => {
    assert.equal(await copy.lab.ask('SET', 'traced', 'no'), 'OK')
    await copy.untilSame()
    await copy.finish()
    assert.ok(!/captured|answered|dropped/.test(copy.tcpcopy.stderr.replace(/^\{.*\}$/gm, '')))
  }
)
