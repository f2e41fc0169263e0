import assert from 'node:assert/strict'
import { test } from 'node:test'
import koffi from 'koffi'
import { compileFilter, openLibpcap } from './libpcap.ts'

function hasLibpcap(): boolean {
  try {
    koffi.load('libpcap.so.0.8')
    return true
  } catch {
    return false
  }
}

const cooked = { link: 'cooked', snapLength: 0x40000 } as const

test('an expression becomes a program that returns the snap length', { skip: !hasLibpcap() }, () => {
  const program = compileFilter('tcp dst port 80', cooked)
  assert.ok(program.length > 5)
  assert.deepEqual(
    program.filter(({ code }) => code === 6).map(({ k }) => k),
    [0x40000, 0]
  )
  assert.ok(program.every(({ jt, jf, k }) => jt >= 0 && jt < 256 && jf >= 0 && jf < 256 && k >= 0))
})

test('with Ethernet headers the program reads at higher offsets', { skip: !hasLibpcap() }, () => {
  const [first] = compileFilter('ip', { ...cooked, link: 'ethernet' })
  assert.deepEqual(first, { code: 0x28, jt: 0, jf: 0, k: 12 })
})

test("a wrong expression is an operator error that quotes it and libpcap's message", { skip: !hasLibpcap() }, () => {
  assert.throws(() => compileFilter('tcp dst port (', cooked), {
    code: 'bad-filter',
    message: /"tcp dst port \(".*syntax error/
  })
})

test('a VLAN primitive, which would match nothing, is rejected', () => {
  assert.throws(() => compileFilter('vlan 5 and tcp', { ...cooked, link: 'ethernet' }), { code: 'bad-filter' })
})

test('without libpcap the operator is told what to install', () => {
  assert.throws(() => openLibpcap(['libpcap.so.absent']), { code: 'no-libpcap', hint: /apt install libpcap0\.8/ })
})
