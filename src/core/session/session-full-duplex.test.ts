import { test } from 'node:test'
import { drill } from '../../sim/drill/drill.ts'

const SEGMENT = 1460
const bytesAt = (request: number): string => `${100 + 10 * request}:${110 + 10 * request}(10)`

/** The client acknowledges two segments of an answer, and sends a request after the third. */
function talks(request: number): string {
  const read = 301 + 3 * SEGMENT * (request - 1)
  return `
    +1     source  .   ${100 + 10 * request}:${100 + 10 * request}(0) ack ${read + 2 * SEGMENT}
    +1     source  P.  ${bytesAt(request)} ack ${read + 3 * SEGMENT}`
}

const EIGHT = [1, 2, 3, 4, 5, 6, 7, 8]

test('after eight answers have outlasted the next request, requests no longer wait', () => {
  drill(`
    +0     open request 10
    ${EIGHT.map(talks).join('')}
    +0     nothing
    +1     source  .   190:190(0) ack ${301 + 26 * SEGMENT}
    ${EIGHT.map((request) => `+0     sent    P.  ${bytesAt(request)} ack 501`).join('\n    ')}
    +0     counter sessionsUngated 1
    +5     source  P.  190:200(10) ack ${301 + 27 * SEGMENT}
    +0     sent    P.  190:200(10) ack 501
    +0     counter epochTimeouts 0
  `)
})

test('an ungated connection stays so when it continues on another one', () => {
  drill(`
    +0     open request 10
    ${EIGHT.map(talks).join('')}
    +1     source  .   190:190(0) ack ${301 + 26 * SEGMENT}
    ${EIGHT.map((request) => `+0     sent    P.  ${bytesAt(request)} ack 501`).join('\n    ')}
    +1     target  P.  501:601(100) ack 190 win 65535
    +40    sent    .   190:190(0) ack 601
    +9     target  R.  601:601(0) ack 190
    +9     source  P.  190:200(10) ack ${301 + 27 * SEGMENT}
    +0     sent    S   189:189(0)
    +9     target  S.  900:900(0) ack 190 win 65535 <mss 1460>
    +0     sent    .   190:190(0) ack 901
    +0     sent    P.  190:200(10) ack 901
    +5     source  P.  200:210(10) ack ${301 + 28 * SEGMENT}
    +0     sent    P.  200:210(10) ack 901
    +0     counter sessionsUngated 1
  `)
})

test('where answers end before the next request, requests wait, however many there are', () => {
  const exchange = (request: number): string => `
    +1     source  .   ${100 + 10 * request}:${100 + 10 * request}(0) ack ${301 + 3000 * (request - 1) + 2 * SEGMENT}
    +1     source  P.  ${bytesAt(request)} ack ${301 + 3000 * request}
    +9     target  .   ${501 + 3000 * (request - 1)}:${501 + 3000 * (request - 1) + 1460}(1460) ack ${100 + 10 * request} win 65535
    +0     target  .   ${501 + 3000 * (request - 1) + 1460}:${501 + 3000 * (request - 1) + 2920}(1460) ack ${100 + 10 * request} win 65535
    +0     sent    .   ${100 + 10 * request}:${100 + 10 * request}(0) ack ${501 + 3000 * (request - 1) + 2920}
    +0     target  P.  ${501 + 3000 * (request - 1) + 2920}:${501 + 3000 * request}(80) ack ${100 + 10 * request} win 65535
    +0     sent    P.  ${bytesAt(request)} ack ${501 + 3000 * request}`
  const many = Array.from({ length: 20 }, (_, index) => exchange(index + 1))
  drill(`
    +0     open request 10
    ${many.join('')}
    +0     counter sessionsUngated 0
    +0     counter epochsQuiet 0
    +0     counter epochTimeouts 0
  `)
})
