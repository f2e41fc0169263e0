/** Expands the word `open` of a drill to the lines that it stands for. See `drill.ts` for its options. */

/** Advertised by the client, before scaling. */
const CLIENT_WINDOW = 64_240
/** The target answers a request after this time. */
const ANSWER_MS = 9
/** The session acknowledges an answer after this time if it has nothing to send. */
const DELAYED_ACK_MS = 40

const WORDS = ['rtt', 'win', 'ack', 'request', 'answer']

/** @param afterMs when the client's SYN is captured, counted from the line before */
export function openingLines(afterMs: number, text: string): string[] {
  const [synOptions = 'mss 1460', synAckOptions = synOptions] = Array.from(
    text.matchAll(/<(.*?)>/g),
    ([, list]) => list
  )
  const said = parseWords(text)
  const lines = [
    `+${afterMs} source S 99:99(0) win ${CLIENT_WINDOW} <${synOptions}>`,
    '+0 sent S 99:99(0)',
    `+${said.get('rtt') ?? 20} target S. 500:500(0) ack 100 win ${said.get('win') ?? 65535} <${synAckOptions}>`
  ]
  const ack = said.get('ack') ?? '+0'
  if (ack !== 'none') {
    lines.push(
      `${ack} source . 100:100(0) ack 301 ${clientFields(synOptions, synAckOptions)}`,
      '+0 sent . 100:100(0) ack 501'
    )
  }
  const end = 100 + Number(said.get('request') ?? 0)
  const request = `P. 100:${end}(${end - 100})`
  if (said.has('request')) lines.push(`+0 source ${request} ack 301`, `+0 sent ${request} ack 501`)
  const answer = Number(said.get('answer') ?? 0)
  const answerEnd = 501 + answer
  if (said.has('answer')) {
    lines.push(
      `+${ANSWER_MS} target P. 501:${answerEnd}(${answer}) ack ${end} win 65535`,
      `+${DELAYED_ACK_MS} sent . ${end}:${end}(0) ack ${answerEnd}`
    )
  }
  return lines
}

function parseWords(text: string): ReadonlyMap<string, string> {
  const words = text.replaceAll(/<.*?>/g, ' ').split(/\s+/).filter(Boolean)
  const said = new Map<string, string>()
  for (let index = 0; index < words.length; index += 2) {
    const [word = '', value = ''] = words.slice(index)
    const isValid = word === 'ack' ? /^(none|\+\d+)$/.test(value) : /^\d+$/.test(value)
    if (!WORDS.includes(word) || !isValid) throw new Error(`drill: open ${text}\n  what is "${word} ${value}"?`)
    said.set(word, value)
  }
  return said
}

/** Window and timestamps of the client's ACK, as implied by the options of both SYNs. */
function clientFields(synOptions: string, synAckOptions: string): string {
  const isAgreed = (option: RegExp): boolean => option.test(synOptions) && option.test(synAckOptions)
  const shift = isAgreed(/wscale/) ? Number(/wscale (\d+)/.exec(synOptions)?.[1]) : 0
  const window = Math.ceil(CLIENT_WINDOW / 2 ** shift)
  const timestamp = Number(/ts (\d+)/.exec(synOptions)?.[1]) + 1
  return isAgreed(/ts /) ? `win ${window} <ts ${timestamp} 1>` : `win ${window}`
}
