import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill } from '../../sim/drill/drill.ts'
import { Counter } from '../books/counters.ts'
import { Drop } from '../books/drop.ts'
import { WHOLE } from '../selection/sampling.ts'

/** A record of 60 bytes with a ClientHello. */
const HELLO = `\x16\x03\x01\x00\x37\x01\x00\x00\x33${'h'.repeat(51)}`
/** A record of 60 bytes with encrypted data. */
const DATA = `\x17\x03\x03\x00\x37${'d'.repeat(55)}`

test('a connection that begins with TLS is left out', () => {
  const counters = drill(`
    +0     open
    +9     source  P.  100:160(60) ack 301 "${HELLO}"
    +0     sent    R.  100:100(0)
    +0     ended   tls
    +0     sessions 0
    +9     source  P.  160:220(60) ack 341 "${DATA}"
    +9     source  F.  220:220(0) ack 381
    +0     dropped tls 3
    +0     counter tlsLeftOut 1
    +0     nothing
  `)
  assert.equal(counters.droppedBytes(Drop.Tls), 120)
  assert.equal(counters.get(Counter.duplicateBytes), 0)
})

test('so is one that changes to TLS after it agreed on it in clear text', () => {
  drill(`
    +0     open request 10
    +9     target  P.  501:502(1) ack 110 win 65535
    +1     source  P.  110:170(60) ack 302 "${HELLO}"
    +0     sent    R.  110:110(0)
    +0     ended   tls
    +0     source  S   99:99(0)               // late
    +0     dropped tls 2
    +9     source  S   7099:7099(0)
    +0     sent    S   7099:7099(0)
    +0     counter tlsLeftOut 1
  `)
})

test('TLS is recognized in data of a SYN, and where the connection was open before', () => {
  drill(`
    +0     source  SP  99:159(60) win 64240 <mss 1460> "${HELLO}"
    +0     nothing
    +9     source  P.  159:219(60) ack 341 "${DATA}"
    +0     dropped tls 2
    +0     sessions 0
  `)
  drill(`
    +0     source  P.  100:160(60) ack 301 "${DATA}"
    +9     source  P.  160:220(60) ack 341 "${DATA}"
    +191   dropped tls 2
    +0     counter tlsLeftOut 1
    +0     counter sessionsJoined 0
  `)
})

test('all copies of a connection that begins with TLS end', () => {
  drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     sent    S   99:99(0) from 10.0.0.1:9281
    +9     source  .   100:100(0) ack 301
    +9     source  P.  100:160(60) ack 301 "${HELLO}"
    +0     sent    R   100:100(0)
    +0     sent    R   100:100(0) from 10.0.0.1:9281
    +0     sessions 0
    +0     dropped tls 1
    +0     counter tlsLeftOut 1
  `,
    { selection: { copies: 2 * WHOLE } }
  )
})

test('bytes that only resemble TLS are copied', () => {
  const others = [HELLO.replace('\x00\x37', '\x00\x38'), HELLO.replace('\x37\x01', '\x37\x02'), DATA]
  for (const text of others) {
    drill(`
    +0     open
    +9     source  P.  100:160(60) ack 301 "${text}"
    +0     sent    P.  100:160(60) ack 501
    `)
  }
})
