import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { KsemError } from 'ksem'
import { Scene, guarantees, start, stop } from './scene.mjs'

before(start)
after(stop)

for (const guarantee of guarantees) {
  test(`${guarantee}: a batch is processed`, async () => {
    const scene = new Scene()
    await scene.fill(100)
    const pipe = await scene.open()
    let records = 0
    while (records < 100) {
      const batch = await pipe.poll(10_000)
      const report = await pipe.process(batch, guarantee, (batch, out) => out.forwardAll(scene.output))
      assert.equal(report.applied, 'applied')
      assert.equal(report.guarantee, guarantee)
      assert.equal(report.attempts, 1)
      assert.equal(report.outputs, report.records)
      assert.equal(report.cause, null)
      assert.ok(report.tookMs > 0)
      records += report.records
      assert.equal(report.offsets.length, 1)
      assert.equal(report.offsets[0].topic, scene.input)
    }
    assert.equal(pipe.metrics().recordsIn, 100)
    await pipe.close()
    assert.deepEqual(await scene.values(), scene.expected(100))
    assert.equal(scene.committed(), 100)
  })
}

for (const guarantee of ['at_least_once', 'exactly_once']) {
  test(`${guarantee}: verdicts`, async () => {
    const scene = new Scene()
    await scene.fill(4)
    const pipe = await scene.open({ batch: { linger_ms: 500 } })
    const [first, second, third, last] = scene.expected(4)
    const report = await pipe.process(await pipe.poll(10_000), guarantee, (batch, out) => {
      batch.values().forEach((value, index) => {
        if (String(value) === second) out.skip(index)
        else if (String(value) === third && batch.length > 1) out.retry(index)
        else out.forward(scene.output, index)
      })
      assert.throws(() => out.skip(batch.length), RangeError)
      assert.throws(() => out.retry(-1), RangeError)
      assert.throws(() => out.deadLetter(0), TypeError)
    })
    assert.equal(report.skipped, 1)
    assert.equal(report.deadLettered, 0)
    assert.equal(report.retried, 4)
    assert.equal(report.attempts, 4)
    await pipe.close()
    assert.deepEqual(await scene.values(), [first, third, last])
  })

  test(`${guarantee}: a handler that throws aborts its batch, which comes again`, async () => {
    const scene = new Scene()
    await scene.fill(10)
    const pipe = await scene.open({ retry: { max_attempts: 1 }, batch: { linger_ms: 500 } })
    const own = new RangeError('the third order has no price')
    const batch = await pipe.poll(10_000)
    const first = batch.offsets()[0]
    const refused = pipe.process(batch, guarantee, (batch, out) => {
      out.forwardAll(scene.output)
      throw own
    })
    await assert.rejects(refused, (error) => {
      assert.ok(error instanceof KsemError && error instanceof Error)
      assert.equal(error.name, 'KsemError')
      assert.equal(error.code, 'handler_failed')
      assert.equal(error.number, 4001)
      assert.equal(error.class, 'handler')
      assert.equal(error.retry, 'never')
      assert.equal(error.outcome, 'not_applied')
      assert.match(error.message, /the third order has no price/)
      assert.match(error.context.batch, new RegExp(scene.input))
      assert.equal(error.cause, own)
      assert.match(error.cause.stack, /process\.test\.mjs/)
      assert.match(error.stack, /process\.test\.mjs/)
      return true
    })
    const again = await pipe.poll(10_000)
    assert.equal(again.offsets()[0], first)
    const report = await pipe.process(again, guarantee, (batch, out) => out.forwardAll(scene.output))
    assert.equal(report.applied, 'applied')
    await pipe.run((batch, out) => out.forwardAll(scene.output), { until: 'caught_up' })
    await pipe.close()
    assert.deepEqual(await scene.values(), scene.expected(10))
  })
}

test('an attempt that fails is made again', async () => {
  const scene = new Scene()
  await scene.fill(10)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  let calls = 0
  const report = await pipe.process(await pipe.poll(10_000), 'exactly_once', async (batch, out) => {
    out.forwardAll(scene.output)
    await sleep(5)
    if (++calls < 3) throw new Error(`not yet ${calls}`)
  })
  assert.equal(report.attempts, 3)
  assert.equal(pipe.metrics().handlerFailures, 2)
  await pipe.close()
  assert.deepEqual(await scene.values(), scene.expected(10))
})

test('what is no Error comes back as it is', async () => {
  const scene = new Scene()
  await scene.fill(1)
  const pipe = await scene.open({ retry: { max_attempts: 1 } })
  const refused = pipe.process(await pipe.poll(10_000), 'exactly_once', () => Promise.reject('a string'))
  await assert.rejects(refused, ({ cause, message }) => cause === 'a string' && /a string/.test(message))
  await pipe.close()
})

test('at_most_once: a batch whose handler fails is lost, and says why', async () => {
  const scene = new Scene()
  await scene.fill(10)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  const own = new Error('gone')
  const report = await pipe.process(await pipe.poll(10_000), 'at_most_once', () => {
    throw own
  })
  assert.equal(report.applied, 'lost')
  assert.match(report.cause, /gone/)
  assert.equal(report.error, own)
  assert.equal(pipe.metrics().recordsLost, 10)
  await pipe.close()
  assert.deepEqual(await scene.values(), [])
  assert.equal(scene.committed(), 10)
})

test('an async handler sends until it ends, and not after that', async () => {
  const scene = new Scene()
  await scene.fill(3)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  let late
  await pipe.process(await pipe.poll(10_000), 'exactly_once', async (batch, out) => {
    late = out
    for (const record of batch) {
      await sleep(1)
      out.send(scene.output, record.key, record.value)
    }
  })
  assert.throws(() => late.send(scene.output, null, 'late'), { code: 'misuse' })
  await pipe.close()
  assert.deepEqual(await scene.values(), scene.expected(3))
})

test('without a handler the routes of the configuration are meant', async () => {
  const scene = new Scene()
  await scene.fill(5)
  const pipe = await scene.open({ route: [{ from: scene.input, to: [scene.output] }], batch: { linger_ms: 500 } })
  const report = await pipe.process(await pipe.poll(10_000))
  assert.equal(report.guarantee, 'exactly_once')
  await scene.broker.produce([{ topic: scene.input, key: null, value: 'v5' }])
  await pipe.run(undefined, { until: 'caught_up' })
  await pipe.close()
  assert.deepEqual(await scene.values(), scene.expected(6))
})

test('an aborted signal gives the batch up', async () => {
  const scene = new Scene()
  await scene.fill(5)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  const controller = new AbortController()
  const reason = new Error('the request is over')
  const batch = await pipe.poll(10_000)
  const given = pipe.process(
    batch,
    'exactly_once',
    async (batch, out) => {
      out.forwardAll(scene.output)
      controller.abort(reason)
      await sleep(500)
    },
    { signal: controller.signal },
  )
  await assert.rejects(given, (error) => error === reason)
  const again = await pipe.poll(10_000)
  assert.equal(again.offsets()[0], 0)
  await pipe.process(again, 'exactly_once', (batch, out) => out.forwardAll(scene.output))
  await assert.rejects(pipe.poll(10_000, { signal: AbortSignal.timeout(20) }), { name: 'TimeoutError' })
  await pipe.close()
  assert.deepEqual(await scene.values(), scene.expected(5))
})

test('begin, then commit or abort', async () => {
  const scene = new Scene()
  await scene.fill(4)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  const aborted = await pipe.begin(await pipe.poll(10_000), 'exactly_once')
  aborted.out.forwardAll(scene.output)
  const none = await aborted.abort('changed my mind')
  assert.equal(none.applied, 'redelivered')
  assert.match(none.cause, /changed my mind/)
  await assert.rejects(aborted.commit(), { code: 'misuse' })
  const attempt = await pipe.begin(await pipe.poll(10_000), 'exactly_once')
  assert.equal(attempt.batch.length, 4)
  attempt.out.sendMany(scene.output, attempt.batch.values(), attempt.batch.keys())
  const report = await attempt.commit()
  assert.deepEqual([report.applied, report.outputs], ['applied', 4])
  assert.throws(() => attempt.out.forward(scene.output, 0), { code: 'misuse' })
  await pipe.close()
  assert.deepEqual(await scene.values(), scene.expected(4))
})

for (const guarantee of guarantees) {
  test(`${guarantee}: records are published`, async () => {
    const scene = new Scene()
    const pipe = await scene.open()
    const records = [
      { topic: scene.output, key: 'a', value: 'v0' },
      { topic: scene.output, value: Buffer.from('v1'), headers: { h: 'x' } },
    ]
    assert.equal(await pipe.publish(records, guarantee), 2)
    await assert.rejects(pipe.publish([{ topic: scene.output, key: 'a' }]), TypeError)
    await pipe.close()
    assert.deepEqual(await scene.values(), scene.expected(2))
  })
}
