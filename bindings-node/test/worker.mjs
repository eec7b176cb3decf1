import { parentPort, workerData } from 'node:worker_threads'
import { open, setLog } from 'ksem'

const { mode, config, output } = workerData
let logged = 0
setLog(() => logged++, 'debug')
const pipe = await open(config)
if (mode === 'copy') {
  let failed
  await pipe
    .process(await pipe.poll(10_000), 'exactly_once', () => {
      throw new Error('in a worker')
    })
    .catch(({ code, cause }) => (failed = `${code}: ${cause.message}`))
  let records = 0
  await pipe.run(
    (batch, out) => {
      records += batch.length
      out.forwardAll(output)
    },
    { until: 'caught_up' },
  )
  await pipe.close()
  parentPort.postMessage({ records, logged, failed })
} else if (mode === 'run') {
  await pipe.run(() => {
    parentPort.postMessage('called')
    return new Promise(() => {})
  })
} else {
  const polled = pipe.poll(60_000)
  if (mode === 'poll') await polled
  parentPort.postMessage('polled')
  await new Promise(() => setInterval(() => {}, 1000))
}
