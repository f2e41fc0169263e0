// `npm run sim -- --seed N [--trace]` repeats one run, `--count N` and `--seconds N` do many; the default is 1000.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { fail, prepare } from './setup.mjs'

const options = {
  seed: { type: 'string' },
  count: { type: 'string' },
  seconds: { type: 'string' },
  trace: { type: 'boolean' }
}
const { values } = parseArgs({ options })
const [seed, count, seconds] = ['seed', 'count', 'seconds'].map((name) => {
  const value = values[name] === undefined ? undefined : Number(values[name])
  if (Number.isNaN(value)) fail(`--${name} takes a number.`)
  return value
})
prepare()
const { simulate } = await import('../dist/src/sim/simulation/simulation.js')
const trace = values.trace ? (line) => console.log(line) : undefined

let failures = 0
function run(one) {
  try {
    return simulate(one, trace)
  } catch (failure) {
    failures += 1
    console.error(seed === undefined ? failure.message : failure)
  }
}

if (seed !== undefined) {
  const outcome = run(seed)
  if (outcome !== undefined) console.log(outcome)
} else {
  const until = performance.now() + (seconds ?? Number.POSITIVE_INFINITY) * 1000
  const countMax = count ?? (seconds === undefined ? 1000 : Number.POSITIVE_INFINITY)
  const first = randomInt(2 ** 31)
  let done = 0
  for (; done < countMax && performance.now() < until; done++) run(first + done)
  console.log(`${done} runs from seed ${first}, ${failures} failed`)
}
process.exitCode = failures > 0 ? 1 : 0
