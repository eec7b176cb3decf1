// Made from src/ by scripts/types.mjs. What the package exports is in index.d.ts and testing.d.ts.
import type { ErrorClass, ErrorOutcome, ErrorRetry, Guarantee, LogLevel } from './index.js'

/** An attempt at a batch. One that is forgotten is aborted when it is collected. */
export declare class NativeAttempt {
  /**
   * Commits what was sent and the offsets.
   *
   * # Errors
   * `misuse` if it has ended.
   */
  commit(sent: Uint8Array, done: (error: Error | null, report: Report) => void): void
  /**
   * Aborts: nothing is applied.
   *
   * # Errors
   * `misuse` if it has ended.
   */
  abort(reason: string, done: (error: Error | null, report: Report) => void): void
}

/** A batch: its records until it is released, and the right to process it once. */
export declare class NativeBatch {
  /** How many records it has. */
  get length(): number
  /** The keys. */
  keys(): Column
  /** The values. */
  values(): Column
  /** The headers; null if no record has any. */
  headers(): HeaderColumn | null
  /** The offsets. */
  offsets(): Float64Array
  /** The timestamps; NaN where a record has none. */
  timestamps(): Float64Array
  /** Topics and partitions. */
  sources(): Sources
  /** Lets go of it unless it was processed: it comes again. */
  release(): void
  /** Lets go of the memory of a batch that was processed. */
  free(): void
}

/** A running broker. */
export declare class NativeBroker {
  /** What to give a client as `bootstrap.servers`. */
  get bootstrap(): string
  /** Creates a topic; false if it exists already. */
  createTopic(name: string, partitions: number): boolean
  /** The offset that a group has committed. */
  committedOffset(group: string, topic: string, partition: number): number | null
  /** The offset that the next record of a partition will get. */
  endOffset(topic: string, partition: number): number | null
  /** Aborts the open transaction of a `transactional.id`, as its timeout would. */
  abortTransaction(transactionalId: string): boolean
  /** Sends records, as another producer would, and returns how many. */
  produce(sent: Uint8Array, done: (error: Error | null, records: number) => void): void
  /** Reads a topic from its start to its end. */
  consume(topic: string, uncommitted: boolean, done: (error: Error | null, records: Array<BrokerRecord>) => void): void
  /** Closes the port and every connection. */
  stop(done: (error: Error | null) => void): void
}

/** One call of the handler. */
export declare class NativeCall {
  /**
   * Returns the batch.
   *
   * # Errors
   * `misuse` if the call has ended.
   */
  batch(): NativeBatch
  /**
   * Returns how many records its batch has.
   *
   * # Errors
   * `misuse` if the call has ended.
   */
  get records(): number
  /**
   * The handler has succeeded and has sent this.
   *
   * # Errors
   * `misuse` if the call has ended.
   */
  succeed(sent: Uint8Array): void
  /**
   * The handler has thrown the object that JavaScript keeps under this number.
   *
   * # Errors
   * `misuse` if the call has ended.
   */
  fail(number: number, text: string): void
}

/** An open pipeline. */
export declare class NativePipeline {
  /** The instance id, configured or found. */
  get instanceId(): string
  /** Whether there are no more batches: it was stopped, has failed, or is closed. */
  get stopping(): boolean
  /** Waits for a batch. */
  poll(timeoutMs: number, done: (error: Error | null, batch: NativeBatch | null) => void): void
  /** Processes a batch with a handler: `ring` tells that it is to be called. */
  process(batch: NativeBatch, guarantee: string | undefined | null, ring: () => void, done: (error: Error | null, report: Report) => void): NativeWork
  /** Processes a batch as the configuration's routes say. */
  processRoutes(batch: NativeBatch, guarantee: string | undefined | null, done: (error: Error | null, report: Report) => void): void
  /** Polls and processes with every lane at once: `ring` tells that the handler is to be called. */
  run(untilCaughtUp: boolean, ring: () => void, done: (error: Error | null) => void): NativeWork
  /** As `run`, as the configuration's routes say. */
  runRoutes(untilCaughtUp: boolean, done: (error: Error | null) => void): void
  /** Begins an attempt at a batch. */
  begin(batch: NativeBatch, guarantee: string | undefined | null, done: (error: Error | null, attempt: NativeAttempt) => void): void
  /** Sends records whose input is not Kafka, and returns how many were acknowledged. */
  publish(sent: Uint8Array, guarantee: string | undefined | null, done: (error: Error | null, records: number) => void): void
  /** Asks it to end. */
  stop(): void
  /** Leaves the group and lets go of everything. Closing again does nothing. */
  close(done: (error: Error | null) => void): void
  /** The counters. */
  metrics(): Metrics
}

/** Work under way. */
export declare class NativeWork {
  /** Returns the next call of the handler, if there is one. */
  take(): NativeCall | null
  /** Gives it up: what is under way is not applied. */
  cancel(): void
}

/** Adds a sink and returns its number. */
export declare function addLog(write: (record: LogRecord) => void, level: string): number

/** A header as a broker has it. */
export interface BrokerHeader {
  /** The name. */
  name: string
  /** The value. */
  value: Buffer | null
}

/** How a broker starts. */
export interface BrokerOptions {
  /** Topics that are there from the start, each with its number of partitions. */
  topics?: Record<string, number>
  /** Where it listens; `127.0.0.1:0`, any free port, unless it is given. */
  listen?: string
  /** Whether a topic is made when it is first written to; true unless it is given. */
  autoCreateTopics?: boolean
}

/** A record as a broker has it. */
export interface BrokerRecord {
  /** The topic. */
  topic: string
  /** The partition. */
  partition: number
  /** The offset. */
  offset: number
  /** Milliseconds since 1970. */
  timestamp: number | null
  /** The key. */
  key: Buffer | null
  /** The value. */
  value: Buffer | null
  /** The headers. */
  headers: Array<BrokerHeader>
}

/** A column of byte strings: all bytes in one piece, and the length of each; -1 is null. */
export interface Column {
  /** The bytes, one value behind the other. */
  bytes: Buffer
  /** The length of each value. */
  lengths: Int32Array
}

/** A position that was committed. */
export interface CommittedOffset {
  /** The topic. */
  topic: string
  /** The partition. */
  partition: number
  /** The next offset to read: last processed + 1. */
  offset: number
  /** The leader epoch of the last processed record, where the broker gave one. */
  leaderEpoch: number | null
}

/** A row of the table of error codes. */
export interface ErrorCode {
  /** The stable name, such as `producer_fenced`. */
  code: string
  /** The stable number. */
  number: number
  /** Which part has to change. */
  class: ErrorClass
  /** What the caller should do. */
  retry: ErrorRetry
  /** What became of the batch, or of the call. */
  outcome: ErrorOutcome
  /** One sentence. */
  doc: string
}

/** Returns the table of error codes. */
export declare function errorCodes(): Array<ErrorCode>

/** The headers of all records: how many each record has, and their names and values as columns. */
export interface HeaderColumn {
  /** How many headers each record has. */
  counts: Uint32Array
  /** The names. */
  names: Column
  /** The values. */
  values: Column
}

/** A log record. */
export interface LogRecord {
  /** How bad it is. */
  level: LogLevel
  /** Which part of ksem writes it; `librdkafka` is the client library. */
  target: string
  /** What happened. */
  message: string
  /** Facts, by name. */
  fields: Record<string, string>
  /** Milliseconds since 1970. */
  timestamp: number
  /** How many records before this one were dropped because the event loop was busy. */
  dropped: number
}

/** Counters since the pipeline was opened. */
export interface Metrics {
  /** Input records of batches that took effect. */
  recordsIn: number
  /** Output records that were acknowledged in batches that took effect, without dead letters. */
  recordsOut: number
  /** Batches that took effect. */
  batches: number
  /** Transactions, or commits of offsets, that they were in. */
  commits: number
  /** At-most-once: input records whose offsets were committed and whose effect failed. */
  recordsLost: number
  /** Input records that were set aside in the dead-letter topic. */
  recordsDeadLettered: number
  /** Input records that the handler skipped by a verdict. */
  recordsSkipped: number
  /** Input records that were given to the handler again because it had failed, each time counted. */
  recordsRetried: number
  /** Attempts that were not applied and made again. */
  batchesRetried: number
  /** Attempts that the handler failed. */
  handlerFailures: number
  /** Batches given up because a partition moved to another member. */
  batchesRevoked: number
  /** Transactions that were aborted. */
  transactionsAborted: number
  /** Producers discarded after a fatal error, a time-out or a repeated EndTxn. */
  producersRebuilt: number
  /** Assignments that completed. */
  rebalances: number
  /** Microseconds that lanes spent on batches, handlers included. */
  busyUs: number
}

/** Opens a pipeline: `config` is a path to TOML, or JSON, which starts with a brace. */
export declare function openPipeline(config: string, done: (error: Error | null, pipeline: NativePipeline) => void): void

/** Removes a sink. */
export declare function removeLog(id: number): void

/** The report of one batch. */
export interface Report {
  /** What became of it. */
  applied: 'applied' | 'lost' | 'redelivered'
  /** The guarantee under which it was processed. */
  guarantee: Guarantee
  /** Its input records. */
  records: number
  /** Its output records that were acknowledged, without dead letters. */
  outputs: number
  /** Its input records that were set aside in the dead-letter topic. */
  deadLettered: number
  /** Its input records that the handler skipped by a verdict. */
  skipped: number
  /** Its input records that were given to the handler again because it had failed, each time counted. */
  retried: number
  /** How often the handler was called for it. */
  attempts: number
  /** The positions that were committed; empty if it was not applied. */
  offsets: Array<CommittedOffset>
  /** From the first step to the last, in milliseconds. */
  tookMs: number
  /** Why it was lost or not applied, in one line. */
  cause: string | null
}

/** Where the records come from. */
export interface Sources {
  /** The topics, each once. */
  names: Array<string>
  /** For each record, which of them. */
  topics: Uint32Array
  /** For each record, the partition. */
  partitions: Int32Array
}

/** Starts a broker. */
export declare function startBroker(options: BrokerOptions, done: (error: Error | null, broker: NativeBroker) => void): void

/** Returns ksem's version. */
export declare function version(): string
