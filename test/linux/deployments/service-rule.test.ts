/** README's rule by source port, for all clients of a service: it must spare the source's own connections to the target. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ASSISTANT, openCopyLab, PORT, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import { finishCopy } from '../support/books.ts'
import { untilSame } from '../support/waiting.ts'

test("the rule by source port sends clients' answers to the assistant, and the source's own to the source", async () => {
  await using lab = await openCopyLab({ routed: [] })
  const { source, target } = lab.hosts
  for (const command of [
    `ip route add default via ${ASSISTANT} table 100`,
    `ip rule add pref 100 to ${SOURCE} lookup main`,
    `ip rule add pref 101 ipproto tcp sport ${PORT} lookup 100`
  ]) {
    const [program = '', ...args] = command.split(' ')
    await target.mustRun(program, args)
  }
  const redis = await lab.startRedisPair()
  await lab.startIntercept()
  const tcpcopy = await lab.startTcpcopy()
  assert.equal(await lab.ask('SET', 'a', 'b'), 'OK')
  await untilSame(redis.source, redis.target)
  assert.equal((await source.mustRun('redis-cli', ['-h', TARGET, 'PING'])).trim(), 'PONG')
  await finishCopy(tcpcopy)
})
