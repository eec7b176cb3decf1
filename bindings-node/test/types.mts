// Compiled by `tsc --strict`; it has nothing to run.

import { KsemError, errorCodes, open, setLog, version } from 'ksem'
import type { Batch, Guarantee, Handler, Metrics, Output, Pipeline, Record, Report } from 'ksem'
import { Broker } from 'ksem/testing'

const handler: Handler = async (batch: Batch, out: Output) => {
  for (const { key, value, offset, timestamp, headers } of batch) {
    const length: number = (value?.length ?? 0) + offset + (timestamp ?? 0)
    out.send('invoices', key, `${length}`, { headers, partition: 0, timestamp: new Date() })
  }
  out.sendMany('copies', batch.values(), batch.keys())
  out.forwardAll('analytics')
}

export async function use(signal: AbortSignal): Promise<Report[]> {
  await using broker = await Broker.start({ topics: { orders: 4 } })
  await using pipe: Pipeline = await open({ group: 'g', inputs: ['orders'], kafka: { 'bootstrap.servers': broker.bootstrap } })
  const guarantee: Guarantee = 'exactly_once'
  const reports: Report[] = []
  for await (const batch of pipe) reports.push(await pipe.process(batch, guarantee, handler, { signal }))
  await pipe.run(handler, { until: 'caught_up', signal })
  const batch = await pipe.poll(100)
  if (batch !== null) {
    const attempt = await pipe.begin(batch)
    attempt.out.forward('analytics', 0)
    reports.push(await attempt.commit())
    const record: Record = attempt.batch.record(0)
    const header: Buffer | null | undefined = record.header('trace')
    console.log(header)
  }
  const published: number = await pipe.publish([{ topic: 't', value: null, headers: { a: 'x' } }])
  const metrics: Metrics = pipe.metrics()
  console.log(metrics.recordsIn, published, version, errorCodes[0]?.code)
  return reports
}

export function wrong(pipe: Pipeline, batch: Batch): void {
  // @ts-expect-error no guarantee
  void pipe.process(batch, 'twice', handler)
  // @ts-expect-error a batch is not made by its users
  void pipe.process({ length: 1 }, 'exactly_once', handler)
  // @ts-expect-error nor is an error
  new KsemError()
  // @ts-expect-error no level
  setLog(() => {}, 'loud')
}

export function handled(error: unknown): boolean {
  if (!(error instanceof KsemError)) return false
  const { code, number, outcome, context, cause }: KsemError = error
  console.log(code, number, outcome, context['batch'], cause)
  return error.retry === 'reopen' && error.class === 'transaction'
}
