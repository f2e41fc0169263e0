/** Copies that come back to the source: what a session sends, and when it stops. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drill, drillTcp } from '../../sim/drill/drill.ts'

const PROXY = '10.0.0.4'
/** The proxy's connections have these ports. */
const portOf = (round: number): number => 5000 + round

/** The proxy passes a request back on a connection of its own, whose copy the target accepts. */
function round(number: number): string {
  const from = `from ${PROXY}:${portOf(number)}`
  const to = `to ${PROXY}:${portOf(number)}`
  const iss = number * 100_000
  return `
    +5     source  S   ${iss}:${iss}(0) win 64240 <mss 1460> ${from}
    +0     sent    S   ${iss}:${iss}(0) ${from}
    +1     target  S.  500:500(0) ack ${iss + 1} win 65535 <mss 1460> ${to}
    +0     source  .   ${iss + 1}:${iss + 1}(0) ack 301 ${from}
    +0     sent    .   ${iss + 1}:${iss + 1}(0) ack 501 ${from}
    +0     source  P.  ${iss + 1}:${iss + 6}(5) ack 301 "PING." ${from}
    +0     sent    P.  ${iss + 1}:${iss + 6}(5) ack 501 ${from}
    +1     target  .   501:501(0) ack ${iss + 6} win 65535 ${to}`
}

/** The eighth time: the SYN is sent, the request is not. */
function heldRound(number: number): string {
  return round(number).split('\n').slice(0, -2).join('\n')
}

/** The client's own request, which begins the loop. */
const BEGIN = `
    +0     open
    +0     source  P.  100:105(5) ack 301 "PING."
    +0     sent    P.  100:105(5) ack 501
    +1     target  .   501:501(0) ack 105 win 65535`

const SEVEN = [1, 2, 3, 4, 5, 6, 7].map(round).join('')

test('requests that a target passes back are held after eight, and blocked when they return with the copies', () => {
  const iss = 900_000
  const from = `from ${PROXY}:${portOf(9)}`
  drill(`${BEGIN}${SEVEN}${heldRound(8)}
    +1999  nothing
    +1     sent    P.  800001:800006(5) ack 501 from ${PROXY}:${portOf(8)}
    +1     target  .   501:501(0) ack 800006 win 65535 to ${PROXY}:${portOf(8)}
    +2     source  S   ${iss}:${iss}(0) win 64240 <mss 1460> ${from}
    +0     sent    S   ${iss}:${iss}(0) ${from}
    +1     source  .   ${iss + 1}:${iss + 1}(0) ack 301 ${from}
    +0     source  P.  ${iss + 1}:${iss + 6}(5) ack 301 "PING." ${from}
    +0     sent    R   ${iss + 1}:${iss + 1}(0) ${from}
    +0     ended loop
    +10    source  S   950000:950000(0) win 64240 <mss 1460> from ${PROXY}:6000
    +0     dropped loop 1
    +0     source  P.  105:110(5) ack 301 "PONG."
    +0     sent    P.  105:110(5) ack 501
  `)
})

test('the same requests are real if they go on while their copies are held', () => {
  const from = (port: number): string => `from ${PROXY}:${portOf(port)}`
  drill(`${BEGIN}${SEVEN}${heldRound(8)}
    +1000  source  S   900000:900000(0) win 64240 <mss 1460> ${from(9)}
    +1     source  .   900001:900001(0) ack 301 ${from(9)}
    +0     source  P.  900001:900006(5) ack 301 "PING." ${from(9)}
    +0     nothing
    +999   sent    S   900000:900000(0) ${from(9)}
    +0     sent    P.  800001:800006(5) ack 501 ${from(8)}
    +1     target  S.  500:500(0) ack 900001 win 65535 <mss 1460> to ${PROXY}:${portOf(9)}
    +0     sent    .   900001:900001(0) ack 501 ${from(9)}
    +0     sent    P.  900001:900006(5) ack 501 ${from(9)}
    +0     dropped loop 0
  `)
})

test('a copy that comes back through address translation is not copied again', () => {
  drillTcp(`
    +0     open
    +9     source  S   99:99(0) win 64240 <mss 1460> from ${PROXY}:40001
    +0     nothing
    +0     dropped loop 1
    +1     source  P.  100:105(5) ack 301 "PING." from ${PROXY}:40001
    +0     dropped loop 2
    +2001  source  S   99:99(0) win 64240 <mss 1460> from 10.0.0.5:40001
    +0     sent    S   99:99(0) from 10.0.0.5:40001
  `)
})

test('a client with the address of the target is not copied', () => {
  const counters = drill(`
    +0     source  S   99:99(0) win 64240 <mss 1460> from 10.0.0.3:40001
    +1     source  .   100:100(0) ack 301 from 10.0.0.3:40001
    +0     source  P.  100:110(10) ack 301 from 10.0.0.3:40001
    +0     nothing
    +0     dropped fromTarget 3
  `)
  assert.equal(counters.unaccountedBytes(), 0)
})
