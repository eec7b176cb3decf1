'use strict'

const { inspect } = require('node:util')
const { fileURLToPath } = require('node:url')
const native = require('./native.js')
const { Batch } = require('./batch.js')
const { Failures, answered, called } = require('./error.js')
const { Output, packed } = require('./output.js')

// Node.js 18 has neither by this name.
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')
const POLL_MS = 1000

// Opens a pipeline: `config` is a path to TOML, an object, or JSON.
async function open(config) {
  if (config instanceof URL) config = fileURLToPath(config)
  const text = typeof config === 'string' ? config : JSON.stringify(config)
  if (typeof text !== 'string') throw new TypeError('the configuration is a path to TOML, an object, or JSON')
  return new Pipeline(await answered((done) => native.openPipeline(text, done)))
}

class Pipeline {
  #native
  // Work under way, which has its end before the pipeline has.
  #under = new Set()

  constructor(opened) {
    this.#native = opened
  }

  get instanceId() {
    return this.#native.instanceId
  }

  async poll(timeoutMs = POLL_MS, { signal } = {}) {
    signal?.throwIfAborted()
    if (!(timeoutMs >= 0)) throw new RangeError(`the time-out is ${timeoutMs}, not a number of milliseconds`)
    const polled = this.#answered((done) => this.#native.poll(timeoutMs, done))
    const batch = await aborting(polled, signal, (late) => late?.release())
    return batch && new Batch(batch)
  }

  async process(batch, guarantee, handler, { signal } = {}) {
    signal?.throwIfAborted()
    const taken = nativeBatch(batch)
    if (handler == null) {
      try {
        return await this.#answered((done) => this.#native.processRoutes(taken, guarantee ?? null, done))
      } finally {
        taken.free()
      }
    }
    callable(handler)
    const failures = new Failures()
    let work
    const give = () => work.cancel()
    try {
      const report = await this.#answered((done) => {
        const ring = () => each(work, (call) => this.#call(call, batch, handler, failures))
        work = this.#native.process(taken, guarantee ?? null, ring, done)
        signal?.addEventListener('abort', give, { once: true })
      }, failures)
      // An at-most-once batch that the handler has failed is lost, not refused: this is what the handler has thrown.
      if (report.applied === 'lost' && failures.last !== undefined) report.error = failures.last
      return report
    } catch (error) {
      if (error.code === 'handler_cancelled') signal?.throwIfAborted()
      throw error
    } finally {
      signal?.removeEventListener('abort', give)
      taken.free()
    }
  }

  async run(handler, { until = 'stopped', signal } = {}) {
    if (until !== 'stopped' && until !== 'caught_up') {
      throw new TypeError(`until is ${inspect(until)}; use 'stopped' or 'caught_up'`)
    }
    const caughtUp = until === 'caught_up'
    const stop = () => this.stop()
    if (signal?.aborted) return stop()
    signal?.addEventListener('abort', stop, { once: true })
    const failures = new Failures()
    let work
    try {
      if (handler == null) return await this.#answered((done) => this.#native.runRoutes(caughtUp, done))
      callable(handler)
      await this.#answered((done) => {
        const ring = () => each(work, (call) => this.#call(call, null, handler, failures))
        work = this.#native.run(caughtUp, ring, done)
      }, failures)
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  async begin(batch, guarantee) {
    const taken = nativeBatch(batch)
    try {
      return new Attempt(await this.#answered((done) => this.#native.begin(taken, guarantee ?? null, done)), batch, taken)
    } catch (error) {
      taken.free()
      throw error
    }
  }

  async publish(records, guarantee) {
    return this.#answered((done) => this.#native.publish(packed(records), guarantee ?? null, done))
  }

  stop() {
    this.#native.stop()
  }

  async close() {
    this.stop()
    // They end by themselves: with their handlers, or at the deadline.
    await Promise.all(this.#under)
    await answered((done) => this.#native.close(done))
  }

  metrics() {
    return called(() => this.#native.metrics())
  }

  async *[Symbol.asyncIterator]() {
    let batch = null
    try {
      while (!this.#native.stopping) {
        batch = await this.poll()
        if (batch !== null) {
          yield batch
          // It belonged to the loop's body; if that has not processed it, it comes again.
          batch.release()
        }
      }
    } finally {
      batch?.release()
    }
  }

  [asyncDispose]() {
    return this.close()
  }

  // Work that `close` waits for.
  async #answered(call, failures) {
    let over
    const ended = new Promise((resolve) => (over = resolve))
    this.#under.add(ended)
    try {
      return await answered(call, failures)
    } finally {
      this.#under.delete(ended)
      over()
    }
  }

  // One call of the handler. Whatever happens, it is answered.
  async #call(call, known, handler, failures) {
    let batch, lent, output
    try {
      // A batch that has failed is handled in pieces: as many records are all of them.
      const whole = known !== null && known.length === call.records
      lent = whole ? null : call.batch()
      batch = whole ? known : new Batch(lent)
      output = new Output(batch.length)
      await handler(batch, output)
      call.succeed(Output.take(output))
    } catch (thrown) {
      if (output) Output.end(output)
      call.fail(failures.add(thrown), textOf(thrown))
    } finally {
      lent?.free()
    }
  }
}

class Attempt {
  #native
  #batch
  #taken
  #out
  #ended = false

  constructor(begun, batch, taken) {
    this.#native = begun
    this.#batch = batch
    this.#taken = taken
    this.#out = new Output(batch.length)
  }

  get batch() {
    return this.#batch
  }

  get out() {
    return this.#out
  }

  async commit() {
    return this.#end((done) => this.#native.commit(this.#ended ? EMPTY : Output.take(this.#out), done))
  }

  async abort(reason = 'aborted') {
    return this.#end((done) => {
      this.#native.abort(String(reason), done)
      Output.end(this.#out)
    })
  }

  async #end(call) {
    try {
      const over = answered(call)
      this.#ended = true
      return await over
    } finally {
      this.#taken.free()
    }
  }
}

const EMPTY = new Uint8Array(0)

function each(work, call) {
  for (let next = work.take(); next !== null; next = work.take()) call(next)
}

function nativeBatch(batch) {
  const taken = Batch.native(batch)
  if (taken === undefined) throw new TypeError('the batch is not one of ksem')
  return taken
}

function callable(handler) {
  if (typeof handler !== 'function') throw new TypeError(`the handler is ${inspect(handler)}, not a function`)
}

function textOf(thrown) {
  try {
    return thrown instanceof Error ? thrown.message : String(thrown)
  } catch {
    return 'the handler has thrown something that has no text'
  }
}

// Waits for the promise, or for the signal; what comes too late is handed to `late`.
async function aborting(promise, signal, late) {
  if (!signal) return promise
  let aborted
  const abort = new Promise((_, reject) => {
    aborted = () => reject(signal.reason)
    signal.addEventListener('abort', aborted, { once: true })
  })
  try {
    return await Promise.race([promise, abort])
  } catch (error) {
    promise.then(late, () => {})
    throw error
  } finally {
    signal.removeEventListener('abort', aborted)
  }
}

module.exports = { Pipeline, Attempt, open, asyncDispose }
