// Runs each seed on both target sides: with packets through both daemons, and on byte streams.
// `npm run sim -- --seed N [--trace]` repeats one seed, `--count N` and `--seconds N` run many; the default is 1000.
// `--side packets` and `--side streams` run one side only.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { fail, prepare } from './setup.mjs'

const options = {
  seed: { type: 'string' },
  count: { type: 'string' },
  seconds: { type: 'string' },
  side: { type: 'string' },
  trace: { type: 'boolean' }
}
const { values } = parseArgs({ options })
const [seed, count, seconds] = ['seed', 'count', 'seconds'].map((name) => {
  const value = values[name] === undefined ? undefined : Number(values[name])
  if (Number.isNaN(value)) fail(`--${name} takes a number.`)
  return value
})
prepare()
const { SIDES, simulate } = await import('../dist/src/sim/simulation/simulation.js')
const sides = values.side === undefined ? SIDES : SIDES.filter((side) => side === values.side)
if (sides.length === 0) fail(`--side takes ${SIDES.join(' or ')}.`)
const trace = values.trace ? (line) => console.log(line) : undefined

const failures = new Map(sides.map((side) => [side, 0]))
function run(one, side) {
  try {
    return simulate(one, side, trace)
  } catch (failure) {
    failures.set(side, failures.get(side) + 1)
    console.error(seed === undefined ? failure.message : failure)
  }
}

if (seed !== undefined) {
  for (const side of sides) {
    const outcome = run(seed, side)
    if (outcome !== undefined) console.log(outcome)
  }
} else {
  const until = performance.now() + (seconds ?? Number.POSITIVE_INFINITY) * 1000
  const countMax = count ?? (seconds === undefined ? 1000 : Number.POSITIVE_INFINITY)
  const first = randomInt(2 ** 31)
  let done = 0
  for (; done < countMax && performance.now() < until; done++) for (const side of sides) run(first + done, side)
  const failed = sides.map((side) => `${failures.get(side)} failed on ${side}`)
  console.log(`${done} seeds from ${first} on ${sides.join(' and ')}: ${failed.join(', ')}`)
}
process.exitCode = [...failures.values()].some((number) => number > 0) ? 1 : 0
