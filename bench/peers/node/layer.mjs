// Copies a topic with ksem's own npm package: whole columns of a thousand records. How late the event loop was is measured
// meanwhile.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { open } from 'ksem'
import { job, pace, report } from './job.mjs'

const NANOSECONDS_IN_MS = 1e6

const pipe = await open({
  group: job.group,
  inputs: [job.input],
  guarantee: job.contestant.guarantee,
  // Ten calls a transaction: the event loop is free between two of them.
  batch: { max_records: pace.batch / 10 },
  commit: { max_records: pace.batch },
  kafka: { 'bootstrap.servers': job.bootstrap }
})
const delay = monitorEventLoopDelay({ resolution: 1 })
// `run` returns a moment after the last commit.
const watch = setInterval(() => {
  if (pipe.metrics().recordsIn >= job.records) {
    clearInterval(watch)
    delay.disable()
    pace.committed()
    pipe.stop()
  }
}, 1)
await pipe.run((batch, out) => {
  if (pace.first === 0) delay.enable()
  pace.took(batch.length)
  out.sendMany(job.output, batch.values(), batch.keys())
})
const metrics = pipe.metrics()
pace.retried = metrics.batchesRetried + metrics.transactionsAborted
await pipe.close()
await report({ event_loop_p99_ms: delay.percentile(99) / NANOSECONDS_IN_MS })
