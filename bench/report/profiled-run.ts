/** The profiled run for docs/benchmarks.md. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OWN_PROGRAMS } from '../../lab/hosts/copy-lab.ts'
import type { BenchLoad } from '../loads/loads.ts'
import { measureRun } from '../loads/measure.ts'
import { type Breakdown, readBreakdown } from './profile.ts'

/** Copies the load with tcpcopy under Node's profiler, which samples every millisecond. */
export async function profileRun(load: BenchLoad, interrupted: Promise<never>): Promise<Breakdown> {
  const profileFolder = mkdtempSync(join(tmpdir(), 'bench-profile-'))
  try {
    await measureRun(load, { programs: OWN_PROGRAMS, hasFloor: false, profileFolder }, interrupted)
    return readBreakdown(profileFolder)
  } finally {
    rmSync(profileFolder, { recursive: true })
  }
}
