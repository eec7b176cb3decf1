import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile, mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { KsemError, errorCodes, open, setLog, version } from 'ksem'
import { Broker } from 'ksem/testing'
import { Scene, start, stop } from './scene.mjs'

let broker
before(async () => (broker = await start()))
after(stop)

const require = createRequire(import.meta.url)
const run = promisify(execFile)
const here = new URL('.', import.meta.url)

test('CommonJS and ESM are the same module', () => {
  const common = require('ksem')
  assert.equal(common.open, open)
  assert.equal(common.KsemError, KsemError)
  assert.equal(require('ksem/testing').Broker, Broker)
  assert.equal(version, require('ksem/package.json').version)
})

test('the table of errors', () => {
  const row = errorCodes.find(({ code }) => code === 'commit_outcome_unknown')
  assert.deepEqual({ ...row, doc: '' }, {
    code: 'commit_outcome_unknown', number: 3004, class: 'transaction', retry: 'reopen', outcome: 'unknown', doc: '',
  })
  assert.equal(new Set(errorCodes.map(({ number }) => number)).size, errorCodes.length)
})

test('configuration: an object, JSON, a file, and what is none', async () => {
  const scene = new Scene()
  const folder = await mkdtemp(path.join(tmpdir(), 'ksem-'))
  const file = path.join(folder, 'pipeline.toml')
  await writeFile(file, `group = "g-file"\ninputs = ["${scene.input}"]\n[kafka]\nbootstrap.servers = "${broker.bootstrap}"\n`)
  for (const config of [scene.config(), JSON.stringify(scene.config()), file, new URL(`file://${file}`)]) {
    const pipe = await open(config)
    assert.match(pipe.instanceId, /./)
    await pipe.close()
  }
  await rm(folder, { recursive: true })
  await assert.rejects(open({ ...scene.config(), guarantee: 'twice', batch: { max_record: 1 } }), (error) => {
    assert.deepEqual([error.code, error.class, error.retry], ['config_invalid', 'config', 'never'])
    assert.match(error.message, /guarantee[^]*max_records/)
    assert.match(error.stack, /lifecycle\.test\.mjs/)
    return true
  })
  await assert.rejects(open('{'), { code: 'config_invalid' })
  await assert.rejects(open(file), { code: 'config_invalid' })
  await assert.rejects(open(undefined), TypeError)
  await assert.rejects(open({ ...scene.config(), inputs: ['nowhere'] }), { code: 'topic_unknown' })
})

test('use after close', async () => {
  const scene = new Scene()
  await scene.fill(1)
  const pipe = await scene.open()
  const batch = await pipe.poll(10_000)
  await pipe.close()
  await pipe.close()
  const closed = { name: 'KsemError', code: 'misuse', message: /closed/ }
  await assert.rejects(pipe.poll(0), closed)
  await assert.rejects(pipe.process(batch, 'exactly_once', () => {}), closed)
  await assert.rejects(pipe.begin(batch), closed)
  await assert.rejects(pipe.run(() => {}), closed)
  await assert.rejects(pipe.publish([]), closed)
  pipe.stop()
  assert.equal(pipe.metrics().batches, 0)
  assert.match(pipe.instanceId, /./)
  for await (const _ of pipe) assert.fail('it is closed')
})

test('misuse', async () => {
  const scene = new Scene()
  await scene.fill(1)
  const pipe = await scene.open()
  const batch = await pipe.poll(10_000)
  await assert.rejects(pipe.process(batch, 'sometimes', () => {}), { code: 'misuse', message: /sometimes/ })
  await assert.rejects(pipe.process({}, 'exactly_once', () => {}), TypeError)
  await assert.rejects(pipe.process(batch, 'exactly_once', 'handler'), TypeError)
  await assert.rejects(pipe.process(batch, 'exactly_once'), { code: 'handler_failed', message: /no handler/ })
  await assert.rejects(pipe.process(batch, 'exactly_once', () => {}), { code: 'misuse' })
  await assert.rejects(pipe.poll(-1), RangeError)
  await assert.rejects(pipe.run(() => {}, { until: 'never' }), TypeError)
  await pipe.close()
})

test('close waits for what is under way', async () => {
  const scene = new Scene()
  await scene.fill(5)
  const pipe = await scene.open({ batch: { linger_ms: 500 } })
  const batch = await pipe.poll(10_000)
  const processed = pipe.process(batch, 'exactly_once', async (batch, out) => {
    await sleep(100)
    out.forwardAll(scene.output)
  })
  const polled = pipe.poll(60_000)
  await pipe.close()
  assert.equal((await processed).applied, 'applied')
  assert.equal(await polled, null)
  assert.deepEqual(await scene.values(), scene.expected(5))
})

test('Symbol.asyncDispose closes', async () => {
  const symbol = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')
  const pipe = await new Scene().open()
  await pipe[symbol]()
  await assert.rejects(pipe.poll(0), { code: 'misuse' })
  const own = await Broker.start({ topics: { t: 2 } })
  await own[symbol]()
  assert.throws(() => own.createTopic('x', 1), { code: 'misuse' })
})

test('the event loop goes on while native code waits', async () => {
  const pipe = await new Scene().open()
  let ticks = 0
  const timer = setInterval(() => ticks++, 5)
  assert.equal(await pipe.poll(300), null)
  clearInterval(timer)
  assert.ok(ticks > 20, `${ticks} ticks`)
  await pipe.close()
})

test('log records', async () => {
  const scene = new Scene()
  await scene.fill(1)
  const records = []
  setLog((record) => records.push(record), 'debug')
  const pipe = await scene.open()
  await pipe.process(await pipe.poll(10_000), 'exactly_once', () => {})
  // Changed while other threads write: nothing may wait for anything.
  for (let i = 0; i < 200; i++) setLog((record) => records.push(record), i % 2 ? 'trace' : 'warn')
  await pipe.close()
  setLog(null)
  assert.throws(() => setLog(() => {}, 'loud'), { code: 'misuse' })
  assert.throws(() => setLog('file'), TypeError)
  await sleep(20)
  assert.ok(records.length > 0)
  for (const { level, target, message, fields, timestamp, dropped } of records) {
    assert.ok(['error', 'warn', 'info', 'debug', 'trace'].includes(level))
    assert.match(target, /^(ksem|librdkafka)/)
    assert.equal(typeof message, 'string')
    assert.equal(typeof fields, 'object')
    assert.ok(Math.abs(timestamp - Date.now()) < 60_000)
    assert.equal(typeof dropped, 'number')
  }
  const before = records.length
  await (await scene.open()).close()
  assert.equal(records.length, before, 'nothing comes after it was taken away')
})

test('a process ends by itself: when everything is closed, with a log, and with a pipeline left open', async () => {
  broker.createTopic('ending')
  for (const mode of ['closed', 'log', 'open', 'polling-log', 'exit']) {
    const { stdout } = await run(process.execPath, [new URL('ending.mjs', here).pathname, broker.bootstrap, mode], { timeout: 20_000 })
    assert.equal(stdout, 'the end\n', mode)
  }
})

function worker(mode, scene) {
  return new Worker(new URL('worker.mjs', here), { workerData: { mode, config: scene.config(), output: scene.output } })
}

test('worker threads each have a pipeline, and a log', async () => {
  const scenes = Array.from({ length: 3 }, () => new Scene())
  await Promise.all(scenes.map((scene) => scene.fill(50)))
  const results = scenes.map((scene) => {
    const thread = worker('copy', scene)
    return new Promise((resolve, reject) => thread.on('message', resolve).on('error', reject))
  })
  for (const { records, logged, failed } of await Promise.all(results)) {
    assert.equal(records, 50)
    assert.ok(logged > 0)
    assert.equal(failed, 'handler_failed: in a worker')
  }
  for (const scene of scenes) assert.deepEqual(await scene.values(), scene.expected(50))
})

test('a worker that is ended in the middle gives its batch up', async () => {
  for (const mode of ['run', 'poll', 'idle']) {
    const scene = new Scene()
    if (mode !== 'idle') await scene.fill(5)
    const thread = worker(mode, scene)
    await new Promise((resolve, reject) => thread.once('message', resolve).once('error', reject))
    await thread.terminate()
    // The member leaves by itself: the next one has its partitions.
    if (mode === 'idle') await scene.fill(5)
    const pipe = await scene.open()
    await pipe.run((batch, out) => out.forwardAll(scene.output), { until: 'caught_up' })
    await pipe.close()
    assert.deepEqual(await scene.values(), scene.expected(5), mode)
  }
})

test('opening and closing does not grow memory', { timeout: 120_000 }, async () => {
  const scene = new Scene()
  const round = async () => {
    const pipe = await scene.open({ guarantee: 'at_least_once' })
    await pipe.poll(0)
    await pipe.close()
  }
  const rounds = Number(process.env.KSEM_ROUNDS ?? 150)
  for (let i = 0; i < rounds / 3; i++) await round()
  globalThis.gc?.()
  const before = process.memoryUsage().rss
  for (let i = 0; i < rounds; i++) await round()
  globalThis.gc?.()
  const grown = (process.memoryUsage().rss - before) / 1024 / rounds
  assert.ok(grown < 40, `${grown.toFixed(1)} KiB a round`)
})
