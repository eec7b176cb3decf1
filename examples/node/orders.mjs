// Orders become invoices and analytics, under a guarantee from the command line:
//
//     node orders.mjs localhost:9092 exactly_once

import { KsemError, open } from 'ksem'

/** @type {import('ksem').Handler} */
function bill(batch, out) {
  const invoices = batch.values().map((order) => `invoice for ${order ?? 'nothing'}`)
  out.sendMany('invoices', invoices, batch.keys())
  out.forwardAll('analytics') // unchanged, with headers and timestamps
}

/**
 * @param {string} bootstrap
 * @param {import('ksem').Guarantee} guarantee
 */
async function main(bootstrap, guarantee) {
  const pipe = await open({
    group: `orders-node-${guarantee}`,
    inputs: ['orders'],
    guarantee,
    kafka: { 'bootstrap.servers': bootstrap },
  })
  process.once('SIGTERM', () => pipe.stop())
  try {
    await pipe.run(bill, { until: 'caught_up' })
    console.log(`${guarantee}: ${pipe.metrics().recordsIn} orders`)
  } finally {
    await pipe.close()
  }
}

const [bootstrap, guarantee] = process.argv.slice(2)
if (!bootstrap || !guarantee) {
  console.error('usage: orders.mjs BOOTSTRAP at_most_once|at_least_once|exactly_once')
  process.exitCode = 2
} else {
  try {
    await main(bootstrap, /** @type {import('ksem').Guarantee} */ (guarantee))
  } catch (error) {
    if (!(error instanceof KsemError)) throw error
    console.error(error.message)
    process.exitCode = error.retry === 'never' ? 1 : 75
  }
}
