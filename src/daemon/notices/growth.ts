/** The growth of a count since something began. */
export class Growth {
  /** Whether the count grew at the last call of `see`. */
  isGrowing = false
  #count = 0
  #before = 0

  /** @param count so far; @param isCounting growth adds up; otherwise the next growth begins anew */
  see(count: number, isCounting: boolean): void {
    if (!isCounting) this.#before = this.#count
    this.isGrowing = count > this.#count
    this.#count = count
  }

  /** Growth since it began. */
  get total(): number {
    return this.#count - this.#before
  }
}
