/** Requests larger than a packet, with offloads and without, and segments that no socket sends. */
import assert from 'node:assert/strict'
import { PORT, SOURCE, TARGET } from '../../../lab/hosts/copy-lab.ts'
import { counter } from '../../../lab/hosts/json-log.ts'
import { some } from '../support/books.ts'
import { sendRawSegment, setPatterns } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'
import { statisticsOf, until, untilCounter } from '../support/waiting.ts'

const SIZES = [1, 1380, 1448, 1449, 60_000, 200_000, 65_483, 200_000, 3]

for (const offloads of [false, true]) {
  copied(
    `SETs of 1 B to 200 kB arrive byte for byte, offloads ${offloads ? 'on' : 'off'}`,
    {
      offloads,
      books: { captureDropped: 0, deliveredBytes: (count) => count > SIZES.reduce((sum, size) => sum + size, 0) }
    },
    async (copy) => {
      await setPatterns(copy.hosts.client, SOURCE, 'value', SIZES)
      await copy.untilSame()
      assert.equal(await copy.lab.askTarget('STRLEN', 'value:5'), '200000')
    }
  )
}

/** Sends a command in three parts; the second one is urgent, so a server that reads only the stream does not see it. */
const sendUrgent = `
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Proto => 'tcp') or die;
$socket->send('SET urgent a', 0);
$socket->send('!', MSG_OOB);
$socket->send("b\\r\\n", 0);
$socket->recv(my $answer, 100, 0);
die "answer: $answer" unless $answer =~ /OK/;
`

copied(
  'an urgent byte is not part of the stream at the target either',
  { books: { urgentSegments: some } },
  async (copy) => {
    await copy.hosts.client.mustRun('perl', ['-e', sendUrgent, SOURCE, `${PORT}`])
    await copy.untilSame()
    assert.equal(await copy.lab.askTarget('GET', 'urgent'), 'ab')
  }
)

copied(
  'a client with an MTU of 600 is copied completely',
  { prepare: ({ hosts }) => hosts.client.mustRun('ip', ['link', 'set', 'eth0', 'mtu', '600']) },
  async (copy) => {
    await setPatterns(copy.hosts.client, SOURCE, 'value', [100_000, 7])
    await copy.untilSame()
  }
)

copied(
  'a segment with a wrong checksum is dropped for that reason, and its bytes are in the books',
  { books: { droppedBytes: 5 } },
  async ({ hosts, tcpcopy }) => {
    await sendRawSegment(hosts.client, 'bad-checksum', 'PING\n')
    await untilCounter(tcpcopy, 'dropped.badChecksum', (count) => count === 1)
    const statistics = await statisticsOf(tcpcopy)
    assert.equal(counter(statistics, 'dropped.badChecksum.bytes'), 5)
    assert.equal(counter(statistics, 'sessionsStarted'), 0)
    assert.equal(counter(statistics, 'capturedPayloadBytes'), 5)
  }
)

/** A port that nobody serves on the source, so that its kernel cannot tell that there is no such connection. */
const UNSERVED = 6380
/** Bytes of the segments that raw-segment.ts sends before. */
const BEFORE_FRAGMENTS = 3 * 6
const FRAGMENTED = `SET fragmented ${'x'.repeat(2000)}\r\n`

for (const workers of ['1', '3']) {
  copied(
    `a segment that arrives in IP fragments is copied completely (--workers ${workers})`,
    {
      map: `${UNSERVED}-${TARGET}:${PORT}`,
      tcpcopy: ['--workers', workers],
      books: {
        capturedPayloadBytes: BEFORE_FRAGMENTS + FRAGMENTED.length,
        deliveredBytes: FRAGMENTED.length,
        droppedBytes: BEFORE_FRAGMENTS,
        sessionsJoined: 1
      }
    },
    async ({ lab, hosts, tcpcopy }) => {
      // Each worker has two connections.
      await untilCounter(tcpcopy, 'channelsOpen', (count) => count === 2 * Number(workers))
      await sendRawSegment(hosts.client, 'fragmented', FRAGMENTED, UNSERVED)
      await until('the key is at the target', async () => (await lab.askTarget('STRLEN', 'fragmented')) === '2000')
    }
  )
}
