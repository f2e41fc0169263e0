// `npm run lossless`: installs what is missing, builds, and runs the loads of lab/loads.ts in namespaces of their own.
import { loadPackages } from './packages.mjs'
import { runInLab } from './run-in-lab.mjs'

await runInLab('lab/lossless.js', loadPackages)
