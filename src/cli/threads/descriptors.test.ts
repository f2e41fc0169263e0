import assert from 'node:assert/strict'
import { test } from 'node:test'
import { descriptorError, limitOf } from './descriptors.ts'

test('the limit of open files is read as the kernel prints it', () => {
  const limits =
    'Limit Soft Limit Hard Limit Units\nMax open files            64                   64                   files\n'
  assert.equal(limitOf(limits), 64)
  assert.equal(limitOf(limits.replaceAll('64', 'unlimited')), Number.POSITIVE_INFINITY)
})

test('an error that says so becomes one for the operator, and others do not', () => {
  assert.match(descriptorError(new Error('cannot open: too many open files (EMFILE)'))?.hint ?? '', /ulimit -n 1024/)
  assert.ok(descriptorError(Object.assign(new Error('spawn'), { code: 'EMFILE' })))
  assert.equal(descriptorError(new Error('cannot open: EPERM')), undefined)
  assert.equal(descriptorError(undefined), undefined)
})
