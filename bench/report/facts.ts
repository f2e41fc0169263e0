/** What a work of the benchmark finds out. */
export interface Fact {
  /** The same in every run; goals name it. */
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
  /** Measures once. @throws Error if anything was not as it should be */
  readonly measure: () => Promise<readonly Fact[]>
}

/** What a work came to: medians of its runs. */
export interface Done {
  readonly name: string
  readonly title: string
  readonly facts: readonly Fact[]
}

/** Of each fact by itself. */
export function medianFacts(runs: readonly (readonly Fact[])[]): readonly Fact[] {
  return (runs[0] ?? []).map((fact) => {
    const values = runs.map((facts) => facts.find(({ name }) => name === fact.name)?.value ?? Number.NaN)
    values.sort((a, b) => a - b)
    const middle = values.length >> 1
    const [upper, lower] = [values[middle] ?? Number.NaN, values[middle - 1] ?? Number.NaN]
    return { ...fact, value: values.length % 2 === 1 ? upper : (upper + lower) / 2 }
  })
}

export function factText({ value, unit, digits }: Fact): string {
  const options = { minimumFractionDigits: digits, maximumFractionDigits: digits }
  return `${value.toLocaleString('en', options)} ${unit}`.trim()
}
