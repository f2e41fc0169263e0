/** The firewall's queue on a real kernel. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { NfQueue, type NfQueueOptions } from '../../../src/io/linux/netfilter/nfqueue.ts'
import { setReceiveBuffer } from '../../../src/io/linux/sockets/socket.ts'
import { inNamespace, ip } from '../support/namespace.ts'
import { drain, ids, WIRE, WIRE_TOO, withRing } from '../support/packets.ts'

const QUEUE = 7

function iptables(words: string): void {
  execFileSync('iptables', ['-w', ...words.split(' ')])
}

function withQueue(options: Partial<NfQueueOptions>, step: (queue: NfQueue) => void): void {
  const queue = new NfQueue({ queue: QUEUE, lengthMax: 1024, snapLength: 160, passed: [], ...options })
  try {
    step(queue)
  } finally {
    queue.close()
  }
}

function withRule(rule: string, step: () => void): void {
  iptables(`-t mangle -I OUTPUT ${rule}`)
  try {
    step()
  } finally {
    iptables(`-t mangle -D OUTPUT ${rule}`)
  }
}

/** Whether this process may read how many packets the kernel dropped at a full queue: only root may. */
function isDropCountReadable(): boolean {
  try {
    return readFileSync('/proc/self/net/netfilter/nfnetlink_queue', 'latin1').includes(` ${QUEUE} `)
  } catch {
    return false
  }
}

const TO_QUEUE = `-p tcp --dport 80 -j NFQUEUE --queue-num ${QUEUE}`

inNamespace(import.meta.url, () => {
  ip('neigh add 10.9.0.3 lladdr 02:00:00:00:00:0b dev va')

  test('the queue returns each packet once, in order, truncated to the snap length, and no packet passes', () => {
    withRule(TO_QUEUE, () => {
      withRing({}, (ring, source) => {
        withQueue({}, (queue) => {
          for (let round = 0; round < 5; round++) {
            for (let id = 1; id <= 150; id++) source.add(WIRE, 80, id * 9, id)
            source.flush()
            const seen = drain(queue)
            assert.deepEqual(
              ids(seen),
              Array.from({ length: 150 }, (_, index) => index + 1)
            )
            for (const { id, captured, wire, total } of seen) {
              assert.deepEqual([wire, total], [40 + id * 9, 40 + id * 9])
              assert.equal(captured, Math.min(wire, 160))
            }
          }
          assert.equal(queue.dropped(), 0)
        })
        assert.deepEqual(ids(drain(ring)), [])
      })
    })
  })

  test('packets to exempt addresses pass, and the queue does not return them', () => {
    withRule(TO_QUEUE, () => {
      withRing({}, (ring, source) => {
        withQueue({ passed: [WIRE_TOO] }, (queue) => {
          for (let id = 1; id <= 100; id++) source.add(id % 3 === 0 ? WIRE_TOO : WIRE, 80, 10, id)
          source.flush()
          const seen = ids(drain(queue))
          const passed = Array.from({ length: 33 }, (_, index) => 3 * (index + 1))
          assert.deepEqual(ids(drain(ring)), passed)
          assert.equal(seen.length, 67)
          assert.ok(!seen.some((id) => passed.includes(id)))
          assert.equal(queue.passed(), 33)
        })
        assert.deepEqual(ids(drain(ring)), [])
      })
    })
  })

  test('packets beyond a full queue are dropped and counted, and later ones are returned', () => {
    withRule(TO_QUEUE, () => {
      withRing({}, (ring, source) => {
        withQueue({ lengthMax: 100 }, (queue) => {
          for (let id = 1; id <= 250; id++) source.add(WIRE, 80, 10, id)
          source.flush()
          assert.equal(drain(queue).length, 100)
          source.add(WIRE, 80, 10, 999)
          source.flush()
          assert.deepEqual(ids(drain(queue)), [999])
          assert.equal(queue.dropped(), isDropCountReadable() ? 150 : 0)
        })
        assert.deepEqual(ids(drain(ring)), [])
      })
    })
  })

  test('packets beyond the socket buffer are counted by gaps in the packet numbers', () => {
    withRule(TO_QUEUE, () => {
      withRing({}, (ring, source) => {
        withQueue({ lengthMax: 4000 }, (queue) => {
          setReceiveBuffer(queue.fd, 1)
          for (let id = 1; id <= 3000; id++) {
            source.add(WIRE, 80, 10, id)
            if (source.outbox.count === 200) source.flush()
          }
          const before = drain(queue).length
          assert.ok(before < 3000)
          source.add(WIRE, 80, 10, 1)
          source.flush()
          assert.equal(drain(queue).length, 1)
          assert.equal(before + queue.dropped(), 3000)
        })
        assert.deepEqual(ids(drain(ring)), [])
      })
    })
  })

  test('without a reader the rule drops packets, and accepts them with --queue-bypass', () => {
    for (const [bypass, expected] of [
      ['', []],
      [' --queue-bypass', [1]]
    ] as const) {
      withRule(TO_QUEUE + bypass, () => {
        withRing({}, (ring, source) => {
          source.add(WIRE, 80, 10, 1)
          source.flush()
          assert.deepEqual(ids(drain(ring)), expected)
        })
      })
    }
  })

  test('a queue in use is an operator error, and the queue is free again once it is closed', () => {
    withQueue({}, () => {
      assert.throws(() => withQueue({}, () => {}), { code: 'queue-in-use', message: /queue 7/ })
      withQueue({ queue: QUEUE + 1 }, () => {})
    })
    withQueue({}, () => {})
  })
})
