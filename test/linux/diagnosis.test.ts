/** What tcpcopy tells of itself: why nothing comes back, and every packet of a flow. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasMessage } from '../../lab/hosts/json-log.ts'
import {
  ASSISTANT,
  CLIENT,
  finishAndReadBooks,
  MAP,
  openCopyLab,
  stopAndReadBooks,
  TCPCOPY,
  untilSame
} from './support/copy-lab.ts'

test('without a route on the target, tcpcopy says that nothing comes back, and what to look at', async () => {
  await using lab = await openCopyLab({ routed: [] })
  await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  const inWords = lab.hosts.source.spawn(TCPCOPY, ['-x', MAP, '-s', ASSISTANT])
  await inWords.waitForLine('stderr', (line) => line.includes('connected to intercept'))
  assert.equal(await lab.ask('SET', 'a', 'b'), 'OK')
  const isHint = (line: string) => hasMessage(line, 'no answers from the target')
  const line = await tcpcopy.waitForLine('stderr', isHint, 30_000)
  const { hint, level } = JSON.parse(line) as { hint: string; level: string } // as: our own log
  assert.equal(level, 'warn')
  assert.match(hint, /10\.77\.0\.2:6379.*\d+ SYNs? sent, 0 SYN-ACKs/)
  for (const cause of ['route', 'rp_filter', 'ip_forward', 'filter', 'on the way']) {
    assert.ok(hint.includes(cause), `${cause} is not in\n${hint}`)
  }
  for (const command of ['ip route get', 'sysctl net.ipv4', 'tcpdump -ni']) assert.ok(hint.includes(command), command)
  assert.ok(!hint.includes('intercept is not connected'))
  // For people the same, over several lines.
  await inWords.waitForLine('stderr', (one) => one.includes('ip route get'), 30_000)
  assert.equal((await inWords.stop()).status, 0)
  // What was captured is in the books: nothing of it reached the target.
  const books = await stopAndReadBooks(tcpcopy)
  assert.equal(books.deliveredBytes, 0)
  assert.equal(books.droppedBytes, books.capturedPayloadBytes)
})

test('where the assistant begins to forward answers, tcpcopy says that connections vanish, and why', async () => {
  await using lab = await openCopyLab()
  await lab.startRedisPair()
  await lab.startIntercept()
  const settings = [
    'net.ipv4.conf.all.send_redirects=0',
    'net.ipv4.conf.eth0.send_redirects=0',
    'net.ipv4.ip_forward=1'
  ]
  await lab.hosts.assistant.mustRun('sysctl', ['-w', ...settings])
  const tcpcopy = await lab.startTcpcopy()
  for (let request = 0; request < 5; request++) assert.equal(await lab.ask('SET', 'a', 'b'), 'OK')
  const isVanishing = (one: string) => hasMessage(one, 'the target lost connections that it had just accepted')
  const line = await tcpcopy.waitForLine('stderr', isVanishing, 30_000)
  const { hint, level, disowned } = JSON.parse(line) as { hint: string; level: string; disowned: number } // as: our own log
  assert.equal(level, 'warn')
  assert.ok(disowned > 0)
  for (const cause of ['tcp-rst', 'ip_forward', 'ip route get', '-c']) assert.ok(hint.includes(cause), hint)
  await stopAndReadBooks(tcpcopy)
})

test('--trace all prints what is captured, sent and answered, with the state of the session', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, '--trace', 'all'])
  assert.equal(await lab.ask('SET', 'traced', 'yes'), 'OK')
  await untilSame(redis.source, redis.target)
  await tcpcopy.waitForLine('stderr', (line) => / ended +\(/.test(line))
  await finishAndReadBooks(tcpcopy)
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
})

test('--trace of one client leaves the others out', async () => {
  await using lab = await openCopyLab()
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy(['-x', MAP, '-s', ASSISTANT, '--trace', '10.77.0.99'])
  assert.equal(await lab.ask('SET', 'traced', 'no'), 'OK')
  await untilSame(redis.source, redis.target)
  await finishAndReadBooks(tcpcopy)
  assert.ok(!/captured|answered|dropped/.test(tcpcopy.stderr.replace(/^\{.*\}$/gm, '')))
})
