import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { drill } from '../../sim/drill/drill.ts'
import { Drop } from '../books/drop.ts'
import { ALL_FLOWS, EvenShare, Sampling, WHOLE } from './sampling.ts'

test('of any 1000 consecutive flows exactly 1000 × share are copied', () => {
  fc.assert(
    fc.property(fc.integer({ min: 10, max: 1000 }), fc.nat(5000), (perMille, offset) => {
      const share = new EvenShare()
      for (let index = 0; index < offset; index++) share.take(perMille * (WHOLE / 1000))
      let yes = 0
      for (let index = 0; index < 1000; index++) if (share.take(perMille * (WHOLE / 1000))) yes += 1
      assert.equal(yes, perMille)
    })
  )
})

test('over any number of flows the copied share is exact to within one flow', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: WHOLE }), fc.nat(3000), fc.nat(3000), (share, offset, count) => {
      const even = new EvenShare()
      for (let index = 0; index < offset; index++) even.take(share)
      let yes = 0
      for (let index = 0; index < count; index++) if (even.take(share)) yes += 1
      assert.ok(Math.abs(yes - (count * share) / WHOLE) < 1)
    })
  )
})

test('everything is copied unless an option says otherwise', () => {
  const sampling = new Sampling(ALL_FLOWS, 0)
  for (let index = 0; index < 1000; index++) assert.equal(sampling.refusal(index % 2 === 0, index), Drop.None)
})

const HALF = { selection: { share: WHOLE / 2 } }

test('-r decides per flow: a flow that is left out does not join later', () => {
  const counters = drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     source  S   99:99(0) from 10.0.0.1:40002
    +1     source  S   99:99(0) from 10.0.0.1:40002        // retransmitted: the same flow
    +1     source  .   100:100(0) ack 301 from 10.0.0.1:40002
    +1     source  P.  100:110(10) ack 301 from 10.0.0.1:40002
    +0     dropped sampledOut 4
    +0     counter flowsLeftOut 1
    +0     source  S   99:99(0) from 10.0.0.1:40003
    +0     sent    S   99:99(0) from 10.0.0.1:40003
    +0     source  S   99:99(0) from 10.0.0.1:40004
    +0     counter flowsLeftOut 2
    +0     sessions 2
  `,
    HALF
  )
  assert.equal(counters.droppedBytes(Drop.SampledOut), 10)
})

test('a flow that was left out is forgotten a minute after its end', () => {
  drill(
    `
    +0     open ack none
    +0     source  R   100:100(0)
    +0     sent    R.  100:100(0)
    +0     source  S   99:99(0) from 10.0.0.1:40002
    +0     source  F.  100:100(0) ack 301 from 10.0.0.1:40002
    +59000 source  .   101:101(0) ack 302 from 10.0.0.1:40002
    +0     dropped sampledOut 3
    +1100  source  S   99:99(0) from 10.0.0.1:40002
    +0     sent    S   99:99(0) from 10.0.0.1:40002
  `,
    HALF
  )
})

test('a flow that was left out stays so while it sends, and for -t after', () => {
  const packet = 'source  P.  100:110(10) ack 301 from 10.0.0.1:40002'
  drill(
    `
    +0     open ack none
    +0     source  R   100:100(0)
    +0     sent    R.  100:100(0)
    +0     source  S   99:99(0) from 10.0.0.1:40002
    +9000  ${packet}
    +9000  ${packet}
    +9000  ${packet}
    +0     dropped sampledOut 4
    +10001 source  S   99:99(0) from 10.0.0.1:40002
    +0     sent    S   99:99(0) from 10.0.0.1:40002
  `,
    { ...HALF, timeoutMs: 10_000 }
  )
})

test('a new connection with the address and port of one that was left out is decided again', () => {
  drill(
    `
    +0     source  S   99:99(0)
    +0     sent    S   99:99(0)
    +0     source  S   99:99(0) from 10.0.0.1:40002
    +0     source  S   5000:5000(0) from 10.0.0.1:40002
    +0     sent    S   5000:5000(0) from 10.0.0.1:40002
    +0     counter flowsLeftOut 1
  `,
    HALF
  )
})

test('a copied connection ends if its port is reused for one that is left out', () => {
  drill(
    `
    +0     open ack none
    +0     source  S   7000:7000(0)
    +0     source  P.  7001:7011(10) ack 901
    +0     sent    R.  100:100(0) ack 501
    +0     ended   none
    +0     dropped synHeld 1
    +0     dropped sampledOut 2
    +0     sessions 0
  `,
    HALF
  )
})

test('-O does not join connections in mid-stream', () => {
  const counters = drill(
    `
    +0     source  P.  100:110(10) ack 301
    +0     source  P.  110:120(10) ack 301
    +200   dropped notFromSyn 2
    +0     counter flowsLeftOut 1
    +0     source  S   7000:7000(0)
    +0     sent    S   7000:7000(0)
  `,
    { selection: { isOnlyNew: true } }
  )
  assert.equal(counters.droppedBytes(Drop.NotFromSyn), 20)
})

test('a connection that is left out stays so although a stranger has forged its FIN', () => {
  drill(
    `
    +0     source  P.  100:110(10) ack 301
    +1     source  F.  7000:7000(0) ack 301
    +1     source  P.  110:120(10) ack 301
    +61000 source  P.  120:130(10) ack 301
    +0     counter flowsLeftOut 1
  `,
    { selection: { isOnlyNew: true } }
  )
})

test('with -O and -r the share is of the connections seen from their SYN', () => {
  const sampling = new Sampling({ ...ALL_FLOWS, share: WHOLE / 2, isOnlyNew: true }, 0)
  const decisions = [true, false, true, false, true].map((isSyn) => sampling.refusal(isSyn, 0))
  assert.deepEqual(decisions, [Drop.None, Drop.NotFromSyn, Drop.SampledOut, Drop.NotFromSyn, Drop.None])
})

test('-g copies one percent more each second, up to -r', () => {
  const copiedAt = (share: number, now: number): number => {
    const sampling = new Sampling({ ...ALL_FLOWS, share, isRampUp: true }, 0)
    return Array.from({ length: 1000 }, () => sampling.refusal(true, now)).filter((drop) => drop === Drop.None).length
  }
  const seconds = [0, 999, 1000, 49_000, 98_999, 99_000, 500_000]
  assert.deepEqual(
    seconds.map((now) => copiedAt(WHOLE, now)),
    [10, 10, 20, 500, 990, 1000, 1000]
  )
  assert.deepEqual(
    [0, 28_000, 29_000, 99_000].map((now) => copiedAt(0.3 * WHOLE, now)),
    [10, 290, 300, 300]
  )
})

test('-n 1.3 copies every flow once and exactly 30 % of them twice', () => {
  const sampling = new Sampling({ ...ALL_FLOWS, copies: 1.3 * WHOLE }, 0)
  const counts = Array.from({ length: 1000 }, () => sampling.copies())
  assert.equal(counts.filter((count) => count === 1).length, 700)
  assert.equal(counts.filter((count) => count === 2).length, 300)
  const whole = new Sampling({ ...ALL_FLOWS, copies: 3 * WHOLE }, 0)
  assert.deepEqual([whole.copies(), whole.copies()], [3, 3])
})
