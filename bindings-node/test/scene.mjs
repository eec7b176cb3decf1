// What the tests share: an embedded broker with topics of each test's own.

import { open } from 'ksem'
import { Broker } from 'ksem/testing'

export const guarantees = ['at_most_once', 'at_least_once', 'exactly_once']

let broker
let scenes = 0

// One broker for each file of tests: it stops with the last test (see `after`).
export async function start() {
  broker = await Broker.start()
  return broker
}

export async function stop() {
  await broker.stop()
}

// An input and an output of their own, and a group.
export class Scene {
  constructor(partitions = 1) {
    const name = `scene-${++scenes}`
    this.broker = broker
    this.group = name
    this.input = `${name}-in`
    this.output = `${name}-out`
    broker.createTopic(this.input, partitions)
    broker.createTopic(this.output, partitions)
  }

  config(more = {}) {
    return {
      group: this.group,
      inputs: [this.input],
      guarantee: 'exactly_once',
      kafka: { 'bootstrap.servers': broker.bootstrap },
      start_from: 'earliest',
      retry: { max_attempts: 3, backoff_ms: 5 },
      batch: { linger_ms: 50 },
      ...more,
    }
  }

  open(more) {
    return open(this.config(more))
  }

  // Records with the keys k0, k1, … and the values v0, v1, ….
  async fill(count, partitions = 1) {
    const records = Array.from({ length: count }, (_, i) => ({
      topic: this.input, key: `k${i}`, value: `v${i}`, partition: i % partitions,
    }))
    await broker.produce(records)
  }

  async values() {
    const records = await broker.consume(this.output)
    return records.map(({ value }) => value?.toString() ?? null).sort()
  }

  expected(count) {
    return Array.from({ length: count }, (_, i) => `v${i}`).sort()
  }

  committed(partition = 0) {
    return broker.committedOffset(this.group, this.input, partition)
  }
}
