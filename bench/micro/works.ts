/** The measurements that need no live load: capture files, and the firewall's queue. */
import type { Work } from '../report/facts.ts'
import { fileReader, offline, pace } from './file-works.ts'
import { queue } from './queue-work.ts'

export const works: readonly Work[] = [fileReader, offline, pace, queue]
