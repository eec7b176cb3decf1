// The conformance driver of Node.js: see tests/PROTOCOL.md. It compares nothing and decides nothing.

import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { KsemError, errorCodes, open, version } from 'ksem'
import { Broker } from 'ksem/testing'

// What handlers throw.
class Thrown extends Error {}

const pipes = new Map()
const batches = new Map()
const attempts = new Map()
const brokers = new Map()
const resumed = new Map()

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`)

function named(kind, objects, name) {
  if (!objects.has(name)) throw new Error(`no ${kind} ${name}`)
  return objects.get(name)
}

const pipeOf = ({ pipe }) => named('pipe', pipes, pipe)
const batchOf = ({ batch }) => named('batch', batches, batch)
const attemptOf = ({ attempt }) => named('attempt', attempts, attempt)

const decoded = (text) => (text == null ? null : Buffer.from(text, 'base64'))
const encoded = (bytes) => bytes?.toString('base64') ?? null
const encodedHeaders = (headers) => headers.map(([name, value]) => [name, encoded(value)])

function recordOf({ topic, key, value, fill, headers, partition, timestamp }) {
  return {
    topic,
    key: decoded(key),
    value: fill === undefined ? decoded(value) : Buffer.alloc(fill, 'x'),
    headers: headers?.map(([name, value]) => [name, decoded(value)]),
    partition,
    timestamp,
  }
}

function send(out, record) {
  const { topic, key, value, ...options } = recordOf(record)
  out.send(topic, key, value, options)
}

function reportOf({ applied, guarantee, records, outputs, deadLettered, skipped, retried, attempts, offsets, cause }) {
  return {
    applied, guarantee, records, outputs, dead_lettered: deadLettered, skipped, retried, attempts, cause,
    offsets: offsets.map(({ topic, partition, offset }) => [topic, partition, offset]),
  }
}

function errorOf({ code, number, class: kind, retry, outcome, message, cause }) {
  return { code, number, class: kind, retry, outcome, message, thrown: cause instanceof Thrown ? cause.message : null }
}

// A gate that `resume` opens and that stays open.
function gate(name) {
  if (!resumed.has(name)) {
    let release
    const opened = new Promise((resolve) => (release = resolve))
    resumed.set(name, { opened, release })
  }
  return resumed.get(name)
}

const steps = {
  forward: ({ topic }, batch, out) => {
    for (let i = 0; i < batch.length; i++) out.forward(topic, i)
  },
  copy: ({ topic, partition }, batch, out) => {
    for (const record of batch) {
      const { key, value, headers, timestamp } = record
      out.send(topic, key, value, { headers, timestamp, partition: partition === 'same' ? record.partition : undefined })
    }
  },
  copy_columns: ({ topic }, batch, out) => out.sendMany(topic, batch.values(), batch.keys()),
  send: ({ record, times = 1 }, batch, out) => {
    for (let i = 0; i < times; i++) send(out, record)
  },
  sleep: ({ ms }) => sleep(ms),
  pause: ({ at }, batch, out, id, call) => {
    say({ event: 'paused', at, id, call, records: batch.length })
    return gate(at).opened
  },
  verdict: ({ verdict, value, reason }, batch, out) => {
    batch.values().forEach((found, index) => {
      if (!found?.equals(decoded(value))) return
      if (verdict === 'retry') out.retry(index)
      else if (verdict === 'dead_letter') out.deadLetter(index, reason)
      else out.skip(index)
    })
  },
  fail: ({ text }) => {
    throw new Thrown(text)
  },
  panic: ({ text }) => {
    throw text
  },
}

function handlerOf({ id, handler }) {
  let calls = 0
  return async (batch, out) => {
    const call = ++calls
    for (const step of handler) {
      if (step.calls && !step.calls.includes(call)) continue
      if (step.value && !batch.values().some((value) => value?.equals(decoded(step.value)))) continue
      if (!Object.hasOwn(steps, step.step)) throw new Error(`no step ${step.step}`)
      await steps[step.step](step, batch, out, id, call)
    }
  }
}

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const verbs = {
  hello: () => ({ language: 'node', version, protocol: 1 }),
  errors: () => ({
    errors: errorCodes.map(({ code, number, class: kind, retry, outcome }) => ({ code, number, class: kind, retry, outcome })),
  }),
  open: async ({ pipe, config, config_text, config_file }) => {
    const opened = await open(config ?? config_text ?? config_file)
    pipes.set(pipe, opened)
    return { instance_id: opened.instanceId }
  },
  poll: async (request) => {
    const batch = await pipeOf(request).poll(request.timeout_ms)
    if (batch === null) return { records: 0 }
    batches.set(request.batch, batch)
    const result = { records: batch.length }
    if (!request.columns) return result
    return {
      ...result,
      topics: batch.topics(),
      partitions: batch.partitions(),
      offsets: batch.offsets(),
      timestamps: batch.timestamps(),
      keys: batch.keys().map(encoded),
      values: batch.values().map(encoded),
      headers: batch.headers().map(encodedHeaders),
    }
  },
  drop: (request) => {
    batchOf(request).release()
    return {}
  },
  process: async (request) =>
    reportOf(await pipeOf(request).process(batchOf(request), request.guarantee, handlerOf(request))),
  run: async (request) => {
    await pipeOf(request).run(handlerOf(request))
    return {}
  },
  begin: async (request) => {
    attempts.set(request.attempt, await pipeOf(request).begin(batchOf(request), request.guarantee))
    return {}
  },
  send: (request) => {
    for (const record of request.records) send(attemptOf(request).out, record)
    return {}
  },
  forward: (request) => {
    const { batch, out } = attemptOf(request)
    for (let i = 0; i < batch.length; i++) out.forward(request.topic, i)
    return {}
  },
  commit: async (request) => reportOf(await attemptOf(request).commit()),
  abort: async (request) => reportOf(await attemptOf(request).abort(request.reason)),
  publish: async (request) => ({
    records: await pipeOf(request).publish(request.records.map(recordOf), request.guarantee),
  }),
  stop: (request) => {
    pipeOf(request).stop()
    return {}
  },
  close: async (request) => {
    await pipeOf(request).close()
    return {}
  },
  metrics: (request) => Object.fromEntries(Object.entries(pipeOf(request).metrics()).map(([name, count]) => [snake(name), count])),
  broker: async ({ broker, topics }) => {
    brokers.set(broker, await Broker.start({ topics: Object.fromEntries(topics) }))
    return { bootstrap: brokers.get(broker).bootstrap }
  },
  broker_stop: async ({ broker }) => {
    await named('broker', brokers, broker).stop()
    return {}
  },
  resume: ({ at }) => {
    gate(at).release()
    return {}
  },
}

async function serve(request) {
  const { id } = request
  try {
    if (!Object.hasOwn(verbs, request.do)) throw new Error(`no verb ${request.do}`)
    say({ id, ok: await verbs[request.do](request) })
  } catch (error) {
    say(error instanceof KsemError ? { id, error: errorOf(error) } : { id, broken: error?.stack ?? String(error) })
  }
}

// Without closing what is open.
const end = () => process.stdout.write('', () => process.exit(0))

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const request = JSON.parse(line)
    if (request.do !== 'exit') return void serve(request)
    say({ id: request.id, ok: {} })
    end()
  })
  .on('close', end)
