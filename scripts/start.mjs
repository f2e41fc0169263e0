// `npm start`: installs what is missing, builds, and runs the main job of lab/main.ts in namespaces of its own.
import { startPackages } from './packages.mjs'
import { runInLab } from './run-in-lab.mjs'

await runInLab('lab/main.js', startPackages)
