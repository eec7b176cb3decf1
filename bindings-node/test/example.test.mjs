// The example, from wherever ksem is installed: as a test, and from an empty folder that has the package (`cargo xtask package`).

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Broker } from 'ksem/testing'

const example = process.env.KSEM_EXAMPLE ?? fileURLToPath(new URL('orders.mjs', import.meta.url))

async function run(...args) {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [example, ...args], { timeout: 60_000 })
    return { status: 0, stdout, stderr }
  } catch ({ code, stdout, stderr }) {
    return { status: code, stdout, stderr }
  }
}

for (const guarantee of ['at_most_once', 'at_least_once', 'exactly_once']) {
  test(`${guarantee}: orders become invoices and analytics`, async () => {
    const broker = await Broker.start({ topics: { orders: 4, invoices: 1, analytics: 1 } })
    const numbers = Array.from({ length: 1_000 }, (_, i) => String(i))
    await broker.produce(numbers.map((number) => ({ topic: 'orders', key: number, value: number })))
    assert.deepEqual(await run(broker.bootstrap, guarantee), { status: 0, stdout: `${guarantee}: 1000 orders\n`, stderr: '' })
    const values = async (topic) => (await broker.consume(topic)).map(({ value }) => value.toString()).sort()
    assert.deepEqual(await values('invoices'), numbers.map((number) => `invoice for ${number}`).sort())
    assert.deepEqual(await values('analytics'), numbers.toSorted?.() ?? [...numbers].sort())
    await broker.stop()
  })
}

test('errors have an exit status', async () => {
  assert.equal((await run()).status, 2)
  const { status, stderr } = await run('127.0.0.1:1', 'twice')
  assert.equal(status, 1)
  assert.match(stderr, /guarantee/)
})

test('it is short', async () => {
  const lines = (await readFile(example, 'utf8')).split('\n').length
  assert.ok(lines < 60, `${path.basename(example)} has ${lines} lines`)
})
