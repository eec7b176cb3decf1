import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Scene, start, stop } from './scene.mjs'

before(start)
after(stop)

const binary = Buffer.from([0, 255, 254, 10, 13])
const headers = [['trace', Buffer.from('1')], ['trace', binary], ['empty', Buffer.alloc(0)], ['null', null], ['ünïcode', Buffer.from('ü')]]

// Null and empty keys and values, headers with repeated names and binary values.
function odd(topic) {
  return [
    { topic, key: null, value: 'no key', timestamp: 1_700_000_000_001, headers },
    { topic, key: '', value: '' },
    { topic, key: 'deleted', value: null },
    { topic, key: binary, value: binary, headers: { one: 'x', none: null } },
    { topic, key: null, value: null },
    { topic, key: 'größe', value: '😀'.repeat(30_000) },
  ]
}

const shapes = (records) => records.map(({ key, value, headers }) => ({ key, value, headers: headers.map((each) => [...each]) }))

test('records cross both ways as they are', async () => {
  const scene = new Scene()
  await scene.broker.produce(odd(scene.input))
  const sent = shapes(await scene.broker.consume(scene.input))
  assert.deepEqual(sent[0].headers, headers)
  assert.deepEqual([sent[0].key, sent[1].key, sent[2].value, sent[4].key], [null, Buffer.alloc(0), null, null])
  assert.deepEqual(sent[3], { key: binary, value: binary, headers: [['one', Buffer.from('x')], ['none', null]] })
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  const batch = await pipe.poll(10_000)
  assert.equal(batch.length, 6)
  await pipe.process(batch, 'exactly_once', (batch, out) => {
    for (const { key, value, headers, timestamp } of batch) out.send(scene.output, key, value, { headers, timestamp })
    for (let i = 0; i < batch.length; i++) out.forward(scene.output, i)
    out.sendMany(scene.output, batch.values(), batch.keys())
    out.sendMany(scene.output, ['text', null, binary])
    assert.equal(out.length, 21)
  })
  await pipe.close()
  const copied = await scene.broker.consume(scene.output)
  assert.equal(copied.length, 21)
  assert.deepEqual(shapes(copied.slice(0, 6)), sent)
  assert.deepEqual(shapes(copied.slice(6, 12)), sent)
  assert.equal(copied[0].timestamp, 1_700_000_000_001)
  assert.equal(copied[6].timestamp, 1_700_000_000_001)
  assert.deepEqual(shapes(copied.slice(12, 18)), sent.map((record) => ({ ...record, headers: [] })))
  assert.deepEqual(copied.slice(18).map(({ value }) => value), [Buffer.from('text'), null, binary])
})

test('columns agree with records', async () => {
  const scene = new Scene(3)
  await scene.fill(30, 3)
  const pipe = await scene.open({ batch: { linger_ms: 500 }, transactions: { lanes: 1 } })
  const seen = new Set()
  while (seen.size < 30) {
    const batch = await pipe.poll(10_000)
    const columns = {
      topics: batch.topics(), partitions: batch.partitions(), offsets: batch.offsets(), timestamps: batch.timestamps(),
      keys: batch.keys(), values: batch.values(), headers: batch.headers(),
    }
    assert.equal(batch.keys(), columns.keys, 'a column is read once')
    let i = 0
    for (const record of batch) {
      assert.equal(record.topic, scene.input)
      assert.equal(record.topic, columns.topics[i])
      assert.equal(record.partition, columns.partitions[i])
      assert.equal(record.offset, columns.offsets[i])
      assert.equal(record.timestamp, columns.timestamps[i])
      assert.ok(Math.abs(record.timestamp - Date.now()) < 60_000)
      assert.equal(record.key, columns.keys[i])
      assert.equal(record.value, columns.values[i])
      assert.equal(record.headers, columns.headers[i])
      assert.equal(record.key.toString().slice(1), record.value.toString().slice(1))
      seen.add(record.value.toString())
      i++
    }
    assert.equal(i, batch.length)
    for (const column of Object.values(columns)) assert.equal(column.length, batch.length)
    assert.throws(() => batch.record(batch.length), RangeError)
    await pipe.process(batch, 'at_least_once', () => {})
    assert.equal(columns.keys[0].toString()[0], 'k', 'what was read before the end stays')
  }
  await pipe.close()
})

test('the last header of a name', async () => {
  const scene = new Scene()
  await scene.broker.produce(odd(scene.input))
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  const batch = await pipe.poll(10_000)
  const record = batch.record(0)
  assert.deepEqual(record.header('trace'), binary)
  assert.equal(record.header('null'), null)
  assert.equal(record.header('absent'), undefined)
  await pipe.close()
})

test('a batch that is over has no memory', async () => {
  const scene = new Scene()
  await scene.fill(3)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  let kept
  await pipe.run(
    (batch) => {
      kept = batch
      batch.keys()
    },
    { until: 'caught_up' },
  )
  assert.equal(kept.keys()[0].toString(), 'k0')
  assert.throws(() => kept.values(), { code: 'misuse' })
  assert.equal(kept.length, 3)
  await pipe.close()
})

test('a record goes to the partition that it is sent to', async () => {
  const scene = new Scene(3)
  await scene.fill(1, 3)
  const pipe = await scene.open()
  await pipe.process(await pipe.poll(10_000), 'exactly_once', (batch, out) => {
    for (const partition of [2, 0, 1, 2]) out.send(scene.output, 'same', `v${partition}`, { partition })
  })
  await pipe.close()
  const found = (await scene.broker.consume(scene.output)).map(({ partition, value }) => `${partition} ${value}`)
  assert.deepEqual(found.sort(), ['0 v0', '1 v1', '2 v2', '2 v2'])
})

test('what is no record is refused, and leaves nothing', async () => {
  const scene = new Scene()
  await scene.fill(1)
  const pipe = await scene.open()
  await pipe.process(await pipe.poll(10_000), 'exactly_once', (batch, out) => {
    const { output } = scene
    const wrong = [
      [() => out.send(output, 'k', undefined), /the value is undefined; a tombstone is null/],
      [() => out.send(output, 7, 'v'), /the key is 7, not a string/],
      [() => out.send(output, 'k', { a: 1 }), /the value is a Object/],
      [() => out.send(undefined, 'k', 'v'), /the topic is undefined/],
      [() => out.send(output, 'k', 'v', { partition: -1 }), /the partition is -1/],
      [() => out.send(output, 'k', 'v', { partition: 1.5 }), /the partition is 1.5/],
      [() => out.send(output, 'k', 'v', { timestamp: 'now' }), /the timestamp is "now"/],
      [() => out.send(output, 'k', 'v', { headers: [[1, 'x']] }), /the header's name is 1/],
      [() => out.send(output, 'k', 'v', { headers: { x: 1 } }), /the header is 1/],
      [() => out.sendMany(output, ['a', 'b'], ['a']), /2 values and 1 keys/],
      [() => out.sendMany(output, ['a', 5]), /the value is 5/],
      [() => out.forward(output, 1), /record 1 of a batch of 1/],
      [() => out.forward(output, -1), /record -1/],
    ]
    for (const [call, message] of wrong) assert.throws(call, { message })
    assert.equal(out.length, 0)
    out.send(output, 'k', 'v0')
  })
  await pipe.close()
  assert.deepEqual(await scene.values(), scene.expected(1))
})

test('a large output grows its memory', async () => {
  const scene = new Scene()
  await scene.fill(1)
  const pipe = await scene.open()
  const value = Buffer.alloc(500_000, 'x')
  await pipe.process(await pipe.poll(10_000), 'exactly_once', (batch, out) => {
    for (let i = 0; i < 40; i++) out.send(scene.output, `k${i}`, value, { headers: { i: String(i) } })
  })
  await pipe.close()
  const records = await scene.broker.consume(scene.output)
  assert.deepEqual(records.map(({ key, headers }) => `${key} ${headers[0][1]}`), Array.from({ length: 40 }, (_, i) => `k${i} ${i}`))
  assert.ok(records.every((record) => record.value.equals(value)))
})
