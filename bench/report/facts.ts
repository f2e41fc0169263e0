/** A result of a work of the benchmark. */
export interface Fact {
  /** Identifies the fact in every run and in goals. */
  readonly name: string
  readonly what: string
  readonly unit: string
  readonly digits: number
  readonly value: number
}

export interface Work {
  /** Chooses it on a command line. */
  readonly name: string
  readonly title: string
  /** Measures once. @throws Error if the measurement is not valid */
  readonly measure: () => Promise<readonly Fact[]>
}

/** The results of a work: medians of its runs. */
export interface Done {
  readonly name: string
  readonly title: string
  readonly facts: readonly Fact[]
}

/** Medians of each fact. */
export function medianFacts(runs: readonly (readonly Fact[])[]): readonly Fact[] {
  return (runs[0] ?? []).map((fact) => {
    const values = runs.map((facts) => facts.find(({ name }) => name === fact.name)?.value ?? Number.NaN)
    return { ...fact, value: median(values) }
  })
}

/** NaN if there are no values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [upper, lower] = [sorted[middle] ?? Number.NaN, sorted[middle - 1] ?? Number.NaN]
  return sorted.length % 2 === 1 ? upper : (upper + lower) / 2
}

export function factText({ value, unit, digits }: Fact): string {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits }
  return `${value.toLocaleString('en', options)} ${unit}`.trim()
}
