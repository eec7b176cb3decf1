import type { CommittedOffset, ErrorCode, LogRecord, Metrics, Report as NativeReport } from './native.js'

export type { CommittedOffset, ErrorCode, LogRecord, Metrics }

/** What a pipeline promises about each input record's effect. */
export type Guarantee = 'at_most_once' | 'at_least_once' | 'exactly_once'
/** Which part has to change for an error to go away. */
export type ErrorClass = 'config' | 'unavailable' | 'transaction' | 'handler' | 'data' | 'internal'
/** What to do about an error: change something, call again, or open a new pipeline. */
export type ErrorRetry = 'never' | 'retry' | 'reopen'
/** What became of the batch, or of the call, that failed. */
export type ErrorOutcome = 'not_applied' | 'applied' | 'unknown'
export type LogLevel = 'error' | 'warn' | 'info' | 'debug' | 'trace'

/** What a key, a value or a header's value is made of: a string is sent in UTF-8, null is null. */
export type Bytes = string | Uint8Array | null
/** A header, as it is read. */
export type Header = readonly [name: string, value: Buffer | null]
/** Headers, as they are sent: pairs, in which names may repeat, or an object. */
export type Headers = Iterable<readonly [name: string, value: Bytes]> | { readonly [name: string]: Bytes }

export interface SendOptions {
  headers?: Headers | null
  /** Without it the key decides, as with the Java client (murmur2). */
  partition?: number | null
  /** Milliseconds since 1970; without it, the time of sending. */
  timestamp?: number | Date | null
}

/** A record to publish. */
export interface OutputRecord extends SendOptions {
  topic: string
  key?: Bytes
  /** null is a tombstone. */
  value: Bytes
}

/** An input record. Its bytes are views on the column that they were read with, so keeping one keeps the column. */
export interface Record {
  readonly topic: string
  readonly partition: number
  /** A number: up to 2^53 it is exact, which a partition does not reach in 285 years of a million records a second. */
  readonly offset: number
  /** Milliseconds since 1970, or null where the record has no timestamp. */
  readonly timestamp: number | null
  readonly key: Buffer | null
  /** null is a tombstone. */
  readonly value: Buffer | null
  readonly headers: readonly Header[]
  /** The last value of the header, as Kafka's own `lastHeader`; undefined if there is none. */
  header(name: string): Buffer | null | undefined
}

/**
 * Input records of one lane; those of one partition come in the order of their offsets.
 *
 * It can be read until its processing has ended. Columns that were read before that stay.
 */
export interface Batch extends Iterable<Record> {
  /** How many records it has; never 0. */
  readonly length: number
  record(index: number): Record
  /** A whole column, read in one call: so are the others. They are the batch's own arrays: copy one before changing it. */
  keys(): (Buffer | null)[]
  values(): (Buffer | null)[]
  headers(): (readonly Header[])[]
  timestamps(): (number | null)[]
  partitions(): number[]
  offsets(): number[]
  topics(): string[]
  /** Lets go of a batch that is not processed: it comes again. */
  release(): void
}

/** What a handler sends: kept until the handler has ended, so that a batch that fails leaves nothing. */
export interface Output {
  /** How many records were sent. */
  readonly length: number
  send(topic: string, key: Bytes | undefined, value: Bytes, options?: SendOptions): void
  /** Sends a record for each value. */
  sendMany(topic: string, values: readonly Bytes[], keys?: readonly Bytes[] | null): void
  /** Sends a record of the batch as it is: key, value, headers and timestamp are kept, and nothing is copied here. */
  forward(topic: string, index: number): void
  /** Sends every record of the batch as it is. */
  forwardAll(topic: string): void
  /**
   * Has the record handled again: nothing of the batch is applied, and it is split around the record. When
   * `retry.max_attempts` is used up, the record becomes a dead letter. Under at-most-once it is counted as lost.
   */
  retry(index: number): void
  /** Sets the record aside: it goes to `dead_letter.topic` together with what the batch sends. */
  deadLetter(index: number, reason: string): void
  /** Has the record counted as done although nothing comes of it. */
  skip(index: number): void
}

/** Called for each batch. What it throws, or the rejection of its promise, fails the batch. */
export type Handler = (batch: Batch, out: Output) => void | PromiseLike<void>

export interface Report extends NativeReport {
  /** What the handler has thrown, if an at-most-once batch was lost for that. */
  error?: unknown
}

/** The fields of TOML, by the same names. */
export interface Config {
  group: string
  inputs: string[]
  guarantee?: Guarantee
  /** librdkafka's properties. */
  kafka: { [property: string]: string | number | boolean }
  [field: string]: unknown
}

/**
 * Opens a pipeline: checks the configuration and the topics, joins the group, and makes the producers.
 *
 * @param config a path to TOML, the same fields as an object, or as JSON
 */
export function open(config: string | URL | Config): Promise<Pipeline>

/** ksem's version. */
export const version: string

/** The table of errors. */
export const errorCodes: readonly Readonly<ErrorCode>[]

/**
 * Hands ksem's log records to the function; null takes it away. A worker thread has a function of its own. It does not keep
 * the process alive, and while the event loop is busy records are dropped and counted.
 */
export function setLog(write: ((record: LogRecord) => void) | null, level?: LogLevel): void

/** Every error of ksem. */
export class KsemError extends Error {
  private constructor()
  /** The stable name, such as `producer_fenced`. */
  readonly code: string
  /** The stable number. */
  readonly number: number
  readonly class: ErrorClass
  readonly retry: ErrorRetry
  readonly outcome: ErrorOutcome
  /** Facts, such as the batch. */
  readonly context: { readonly [name: string]: string }
  /** What a handler has thrown, the very object; else the error behind this one. */
  readonly cause?: unknown
}

/** A batch between begin and commit. One that is forgotten is aborted. */
export interface Attempt {
  readonly batch: Batch
  readonly out: Output
  /** Commits what was sent and the offsets, in the order of the guarantee. */
  commit(): Promise<Report>
  /** Aborts: nothing is applied, and the batch comes again. Under at-most-once it is lost, and counted. */
  abort(reason?: string): Promise<Report>
}

/** An open pipeline: one member of the consumer group. */
export class Pipeline implements AsyncIterable<Batch> {
  private constructor()
  /** The instance id, configured or found. */
  readonly instanceId: string

  /** Waits for a batch; null if none came in time. A lane has one batch out at a time. */
  poll(timeoutMs?: number, options?: { signal?: AbortSignal }): Promise<Batch | null>

  /**
   * Processes one batch: the handler, then commit or abort, and again as `[retry]` says.
   *
   * Without a guarantee the configured one is meant, without a handler the configured routes. An aborted signal gives the batch
   * up: it comes again, and what rejects the promise is the signal's reason.
   */
  process(
    batch: Batch,
    guarantee?: Guarantee | null,
    handler?: Handler | null,
    options?: { signal?: AbortSignal },
  ): Promise<Report>

  /**
   * Polls and processes with every lane at once: handlers of several batches are under way at a time.
   *
   * It ends when the pipeline is stopped, which an aborted signal does too: batches in flight have until `shutdown.deadline_ms`.
   * With `caught_up` it ends when the group's offsets have reached the end that the inputs had at the start.
   */
  run(handler?: Handler | null, options?: { until?: 'stopped' | 'caught_up'; signal?: AbortSignal }): Promise<void>

  /** Begins an attempt at a batch, for control flow of your own. */
  begin(batch: Batch, guarantee?: Guarantee | null): Promise<Attempt>

  /** Sends records whose input is not Kafka, and returns how many were acknowledged. */
  publish(records: Iterable<OutputRecord>, guarantee?: Guarantee | null): Promise<number>

  /** Asks it to end. It can't go on after that. */
  stop(): void

  /** Waits for what is under way, leaves the group and lets go of everything. Closing again does nothing. */
  close(): Promise<void>

  metrics(): Metrics

  /** Batches, until it is stopped. One that the loop's body has not processed comes again. */
  [Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined>

  [Symbol.asyncDispose](): Promise<void>
}
