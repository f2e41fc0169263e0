// `npm run bench`: installs what is missing, builds, and runs the loads of bench/loads.ts in namespaces of their own.
import { benchPackages } from './packages.mjs'
import { runInLab } from './run-in-lab.mjs'

await runInLab('bench/main.js', benchPackages)
