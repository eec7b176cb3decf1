'use strict'

const native = require('./native.js')
const { answered, called } = require('./error.js')
const { packed } = require('./output.js')
const { asyncDispose } = require('./pipeline.js')

// An embedded broker, in this process.
class Broker {
  #native

  constructor(started) {
    this.#native = started
  }

  static async start(options = {}) {
    return new Broker(await answered((done) => native.startBroker(options, done)))
  }

  get bootstrap() {
    return this.#native.bootstrap
  }

  createTopic(name, partitions = 1) {
    return called(() => this.#native.createTopic(name, partitions))
  }

  committedOffset(group, topic, partition = 0) {
    return called(() => this.#native.committedOffset(group, topic, partition))
  }

  endOffset(topic, partition = 0) {
    return called(() => this.#native.endOffset(topic, partition))
  }

  abortTransaction(transactionalId) {
    return called(() => this.#native.abortTransaction(transactionalId))
  }

  async produce(records) {
    return answered((done) => this.#native.produce(packed(records), done))
  }

  async consume(topic, { isolation = 'read_committed' } = {}) {
    if (isolation !== 'read_committed' && isolation !== 'read_uncommitted') {
      throw new TypeError(`the isolation is ${isolation}; use 'read_committed' or 'read_uncommitted'`)
    }
    const records = await answered((done) => this.#native.consume(topic, isolation === 'read_uncommitted', done))
    for (const record of records) record.headers = record.headers.map(({ name, value }) => [name, value])
    return records
  }

  async stop() {
    await answered((done) => this.#native.stop(done))
  }

  [asyncDispose]() {
    return this.stop()
  }
}

exports.Broker = Broker
