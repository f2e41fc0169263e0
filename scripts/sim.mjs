// `npm run sim -- --seed N [--trace]` repeats one run, `--count N` and `--seconds N` do many; the default is 1000.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { prepare } from './setup.mjs'

const options = {
  seed: { type: 'string' },
  count: { type: 'string' },
  seconds: { type: 'string' },
  trace: { type: 'boolean' }
}
const { values } = parseArgs({ options })
prepare()
const { simulate } = await import('../dist/src/sim/simulation.js')
const trace = values.trace ? (line) => console.log(line) : undefined

let failures = 0
function run(seed) {
  try {
    return simulate(seed, trace)
  } catch (failure) {
    failures += 1
    console.error(values.seed === undefined ? failure.message : failure)
  }
}

if (values.seed !== undefined) console.log(run(Number(values.seed)))
else {
  const until =
    values.seconds === undefined ? Number.POSITIVE_INFINITY : performance.now() + Number(values.seconds) * 1000
  const countMax =
    values.count === undefined && values.seconds === undefined ? 1000 : Number(values.count ?? Number.POSITIVE_INFINITY)
  const first = randomInt(2 ** 31)
  let count = 0
  for (; count < countMax && performance.now() < until; count++) run(first + count)
  console.log(`${count} runs from seed ${first}, ${failures} failed`)
}
process.exitCode = failures > 0 ? 1 : 0
