import type { OutputRecord } from './index.js'
import type { BrokerOptions } from './native.js'

export type { BrokerOptions }

/** A record as a broker has it. */
export interface BrokerRecord {
  topic: string
  partition: number
  offset: number
  timestamp: number | null
  key: Buffer | null
  value: Buffer | null
  headers: [name: string, value: Buffer | null][]
}

/**
 * An embedded broker, in this process, for tests: transactions, read_committed, fencing and group offsets, all in memory. A group
 * has one member at a time.
 */
export class Broker {
  private constructor()
  static start(options?: BrokerOptions): Promise<Broker>
  /** What to configure as `bootstrap.servers`. */
  readonly bootstrap: string
  /** Creates a topic; false if it exists already. */
  createTopic(name: string, partitions?: number): boolean
  /** The offset that a group has committed; null if it has not. */
  committedOffset(group: string, topic: string, partition?: number): number | null
  /** The offset that the next record of a partition will get. */
  endOffset(topic: string, partition?: number): number | null
  /** Aborts the open transaction of a `transactional.id`, as its timeout would; false if none is open. */
  abortTransaction(transactionalId: string): boolean
  /** Sends records, as another producer would, and returns how many. */
  produce(records: Iterable<OutputRecord>): Promise<number>
  /** Reads a topic from its start to its end. */
  consume(topic: string, options?: { isolation?: 'read_committed' | 'read_uncommitted' }): Promise<BrokerRecord[]>
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}
