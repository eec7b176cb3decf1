import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Scene, guarantees, start, stop } from './scene.mjs'

before(start)
after(stop)

for (const guarantee of guarantees) {
  test(`${guarantee}: a run until it has caught up`, async () => {
    const scene = new Scene(4)
    await scene.fill(2_000, 4)
    const pipe = await scene.open({ guarantee, batch: { max_records: 100 } })
    let under = 0
    let most = 0
    await pipe.run(
      async (batch, out) => {
        most = Math.max(most, ++under)
        await sleep(2)
        out.sendMany(scene.output, batch.values(), batch.keys())
        under--
      },
      { until: 'caught_up' },
    )
    assert.ok(most > 1, 'handlers of several batches are under way at a time')
    assert.equal(pipe.metrics().recordsIn, 2_000)
    await pipe.close()
    assert.deepEqual(await scene.values(), scene.expected(2_000))
  })
}

test('a run retries what fails, and ends with what fails for good', async () => {
  const scene = new Scene(2)
  await scene.fill(200, 2)
  const pipe = await scene.open({ batch: { max_records: 10 } })
  const own = new TypeError('poison')
  let calls = 0
  const run = pipe.run(async (batch, out) => {
    if (++calls % 7 === 0) throw new Error('now and then')
    if (batch.values().some((value) => value.equals(Buffer.from('v150')))) throw own
    out.forwardAll(scene.output)
  })
  await assert.rejects(run, (error) => {
    assert.equal(error.code, 'handler_failed')
    assert.ok(error.cause === own || error.cause.message === 'now and then')
    return true
  })
  await pipe.close()
  const again = await scene.open()
  await again.run((batch, out) => out.forwardAll(scene.output), { until: 'caught_up' })
  await again.close()
  assert.deepEqual(await scene.values(), scene.expected(200))
})

test('a signal ends a run, and what is in flight is done', async () => {
  const scene = new Scene()
  await scene.fill(10)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  const controller = new AbortController()
  await pipe.run(
    async (batch, out) => {
      controller.abort()
      await sleep(50)
      out.forwardAll(scene.output)
    },
    { signal: controller.signal },
  )
  assert.equal(await pipe.poll(0), null)
  await pipe.close()
  assert.deepEqual(await scene.values(), scene.expected(10))
  const other = await scene.open()
  await other.run(() => assert.fail('it was over before'), { signal: AbortSignal.abort() })
  await other.close()
})

test('stop ends a run that waits', async () => {
  const pipe = await new Scene().open()
  const run = pipe.run(() => {})
  await assert.rejects(pipe.run(() => {}), { code: 'misuse' })
  await sleep(50)
  pipe.stop()
  await run
  await pipe.close()
})

test('a handler that has no end is given up at the deadline', async () => {
  const scene = new Scene()
  await scene.fill(1)
  const pipe = await scene.open({ shutdown: { deadline_ms: 300 } })
  let ended
  const run = pipe.run(() => new Promise((resolve) => (ended = resolve)))
  while (!ended) await sleep(5)
  const closed = pipe.close()
  await assert.rejects(run, { code: 'shutdown_deadline' })
  await closed.catch(({ code }) => assert.equal(code, 'shutdown_deadline'))
  ended()
  await sleep(20)
  assert.equal(scene.committed(), null)
})

test('for await', async () => {
  const scene = new Scene(2)
  await scene.fill(100, 2)
  const pipe = await scene.open({ batch: { max_records: 10 } })
  let records = 0
  let ignored = 0
  for await (const batch of pipe) {
    // A batch that is not processed comes again.
    if (ignored++ % 3 === 0) continue
    const report = await pipe.process(batch, 'exactly_once', (batch, out) => out.forwardAll(scene.output))
    records += report.records
    if (records === 100) pipe.stop()
  }
  await pipe.close()
  assert.deepEqual(await scene.values(), scene.expected(100))
})

test('a loop that is left lets go of its batch', async () => {
  const scene = new Scene()
  await scene.fill(5)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  for await (const batch of pipe) {
    assert.equal(batch.length, 5)
    break
  }
  const batch = await pipe.poll(10_000)
  assert.equal(batch.offsets()[0], 0)
  assert.equal(await pipe.poll(200), null, 'its lane has one batch out at a time')
  batch.release()
  assert.throws(() => batch.values(), { code: 'misuse' })
  await assert.rejects(pipe.process(batch, 'exactly_once', () => {}), { code: 'misuse' })
  assert.equal((await pipe.poll(10_000)).offsets()[0], 0)
  await pipe.close()
})
