/** Where tcpcopy's worker spends its time, by a profile of Node's `--cpu-prof`. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string }
  readonly children?: readonly number[]
}

/** A .cpuprofile file; times in microseconds. */
interface Profile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface Share {
  readonly name: string
  /** Share of the time in which the thread did not wait. */
  readonly share: number
}

export interface Breakdown {
  /** Share of all time in ppoll, whose own cost is included. */
  readonly waiting: number
  readonly parts: readonly Share[]
  /** The most expensive functions, by their own time and that of their system calls. */
  readonly functions: readonly (Share & { readonly part: string })[]
}

const FUNCTIONS_MAX = 15
const WAITING = 'wait'
/** Only workers of tcpcopy and intercept run it. */
const POLLER = /\/io\/linux\/system\/poller\./
/** The part of a function by its file; functions of other files belong to the part of their caller. */
const partsByFile: readonly (readonly [RegExp, string])[] = [
  [POLLER, WAITING],
  [/\/io\/linux\/capture\/|\/wire\/segment\./, 'receive'],
  [/\/io\/linux\/(?:send|netlink)\//, 'send'],
  [/\/daemon\/channel\/|\/io\/linux\/sockets\/|\/wire\/channel\//, 'channel'],
  [/\/core\/|\/io\/linux\/system\/native-copy\./, 'core'],
  [/\/daemon\/(?:copier|interceptor)\/|\/cli\/|\/io\/linux\/system\/libc\./, 'loop']
]
const partsByName: ReadonlyMap<string, string> = new Map([
  ['(garbage collector)', 'garbage collection'],
  ['(program)', 'runtime'],
  ['(idle)', WAITING]
])

/** Summarizes the profile of a worker of tcpcopy or intercept in a folder. @throws Error if there is none */
export function readBreakdown(folder: string): Breakdown {
  for (const name of readdirSync(folder).filter((one) => one.endsWith('.cpuprofile'))) {
    // as: Node wrote it.
    const profile = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile
    if (profile.nodes.some(({ callFrame }) => POLLER.test(callFrame.url))) return breakDown(profile)
  }
  throw new Error(`No profile in ${folder} belongs to a worker.`)
}

function breakDown({ nodes, samples, timeDeltas }: Profile): Breakdown {
  const own = new Map<number, number>()
  for (const [index, id] of samples.entries()) own.set(id, (own.get(id) ?? 0) + (timeDeltas[index] ?? 0))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parts = new Map<string, number>()
  const functions = new Map<string, { part: string; time: number }>()
  let total = 0
  const visit = (node: ProfileNode, callerPart: string, caller: string): void => {
    const { functionName, url } = node.callFrame
    const part = partOf(functionName, url) ?? callerPart
    const name = url === '' && !functionName.startsWith('(') ? caller : nameOf(functionName, url)
    const time = own.get(node.id) ?? 0
    total += time
    parts.set(part, (parts.get(part) ?? 0) + time)
    functions.set(name, { part, time: (functions.get(name)?.time ?? 0) + time })
    for (const id of node.children ?? []) {
      const child = byId.get(id)
      if (child !== undefined) visit(child, part, name)
    }
  }
  const [root] = nodes
  if (root !== undefined) visit(root, 'runtime', '(root)')
  const waited = parts.get(WAITING) ?? 0
  parts.delete(WAITING)
  const share = (time: number) => time / (total - waited)
  return {
    waiting: waited / total,
    parts: [...parts].map(([name, time]) => ({ name, share: share(time) })).sort((a, b) => b.share - a.share),
    functions: [...functions]
      .map(([name, { part, time }]) => ({ name, part, share: share(time) }))
      .filter(({ part }) => part !== WAITING)
      .sort((a, b) => b.share - a.share)
      .slice(0, FUNCTIONS_MAX)
  }
}

function partOf(functionName: string, url: string): string | undefined {
  return partsByName.get(functionName) ?? partsByFile.find(([pattern]) => pattern.test(url))?.[1]
}

/** `flush (link-sender)` */
function nameOf(functionName: string, url: string): string {
  const file = /([^/]+)\.\w+$/.exec(url)?.[1]
  return file === undefined ? functionName : `${functionName || '(top level)'} (${file})`
}
