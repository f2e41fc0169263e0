/** What is measured without a client that brings a live load: capture files, and the queue of the firewall. */
import type { Work } from '../report/facts.ts'
import { fileReader, offline, pace } from './file-works.ts'
import { queue } from './queue-work.ts'

export const works: readonly Work[] = [fileReader, offline, pace, queue]
