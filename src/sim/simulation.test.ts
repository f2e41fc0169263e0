import { test } from 'node:test'
import { simulate } from './simulation.ts'

/** Seeds that found something once. */
const FOUND: readonly (readonly [number, string])[] = [
  [1056068143, 'a SYN met the older connection that the target still held'],
  [187757650, 'an old segment with a newer acknowledgment did not move the window'],
  [1529315910, 'a late reset of the earlier connection ended the next one'],
  [1529316709, 'a late reset of the earlier connection ended the next one, which had sent already']
]

test('what the target reads is what the clients sent, over links that lose, repeat and overtake', () => {
  for (let seed = 1; seed <= 40; seed++) simulate(seed)
})

for (const [seed, what] of FOUND) test(`seed ${seed}: ${what}`, () => void simulate(seed))
