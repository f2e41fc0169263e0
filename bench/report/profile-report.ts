/** `npm run bench:profile -- FOLDER`: summarizes the profiles that `--cpu-prof` left in a folder. */
import { readBreakdown } from './profile.ts'

const { waiting, parts, functions } = readBreakdown(process.argv[2] ?? '.')
const percent = (share: number) => `${(100 * share).toFixed(1).padStart(5)} %`

console.log(`The worker waited for ${percent(waiting).trim()} of the time. Of the rest:`)
for (const { name, share } of parts) console.log(`${percent(share)}  ${name}`)
console.log('\nBy function, system calls included:')
for (const { name, part, share } of functions) console.log(`${percent(share)}  ${name}, ${part}`)
