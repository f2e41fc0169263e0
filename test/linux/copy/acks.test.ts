/** `--acks drop` on a real kernel. */
import { SOURCE } from '../../../lab/hosts/copy-lab.ts'
import { benchmark, SETS } from '../support/client-loads.ts'
import { copied } from '../support/copied.ts'

copied(
  "the kernel drops clients' acknowledgments, and the copy loses nothing",
  { tcpcopy: ['--acks', 'drop'], books: { 'dropped.pureAck': 0 } },
  async (copy) => {
    const { client } = copy.hosts
    for (const keep of ['1', '0']) await benchmark(client, SOURCE, ...SETS, '-c', '10', '-n', '2000', '-k', keep)
    await copy.untilSame()
  }
)
