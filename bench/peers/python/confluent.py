"""Copies a topic with confluent-kafka-python: consume a batch, produce it, commit; or the same in transactions."""

import time

from confluent_kafka import OFFSET_INVALID, OFFSET_BEGINNING, Consumer, KafkaException, Producer

from job import Clock, Job

# A call of `consume` takes at most so many where time decides when to commit.
MOST = 10_000


class Copy:
    def __init__(self, job):
        self.job = job
        self.clock = Clock()
        self.failed = None
        self.seen = 0
        self.taken = 0
        producer = {"bootstrap.servers": job.bootstrap, "acks": "all", "enable.idempotence": True}
        if job.exactly_once:
            producer["transactional.id"] = job.group
        else:
            # A transaction in which a record failed does not commit; here it has to be noticed.
            producer["on_delivery"] = self.delivered
        self.producer = Producer(producer | job.settings("producer."))
        if job.exactly_once:
            self.producer.init_transactions()
        self.consumer = Consumer(
            {
                "bootstrap.servers": job.bootstrap,
                "group.id": job.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
            | job.settings("consumer.")
        )

    def delivered(self, error, _message):
        if error is not None:
            self.failed = error

    def run(self):
        self.consumer.subscribe([self.job.input], on_revoke=self.revoked)
        while self.taken or self.seen < self.job.records:
            try:
                self.fill()
                if self.is_due():
                    self.commit()
            except KafkaException as exception:
                error = exception.args[0]
                if not (self.job.exactly_once and error.txn_requires_abort()):
                    raise
                self.abort()
        self.producer.flush()
        self.consumer.close()

    def fill(self):
        """Takes as many records as are there, and this commit may hold."""
        room = min(self.job.batch - self.taken, self.job.records - self.seen, MOST)
        # An interval that is over already still lets what is there be taken.
        left = max(0.001, self.clock.last + self.job.interval - time.monotonic()) if self.taken else 1.0
        messages = self.consumer.consume(room, min(left, 1.0))
        if not messages:
            return
        self.clock.record_seen()
        if not self.taken and self.job.exactly_once:
            self.producer.begin_transaction()
        output = self.job.output
        produce = self.producer.produce
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            key, value, timestamp = message.key(), message.value(), message.timestamp()[1]
            while True:
                try:
                    produce(output, value, key, timestamp=timestamp)
                    break
                except BufferError:
                    self.producer.poll(0.1)
        self.taken += len(messages)
        self.seen += len(messages)

    def is_due(self):
        late = time.monotonic() - self.clock.last >= self.job.interval
        return self.taken and (self.taken >= self.job.batch or self.seen >= self.job.records or late)

    def commit(self):
        if self.job.exactly_once:
            positions = self.consumer.position(self.consumer.assignment())
            self.producer.send_offsets_to_transaction(positions, self.consumer.consumer_group_metadata())
            self.producer.commit_transaction()
        else:
            self.producer.flush()
            if self.failed:
                raise KafkaException(self.failed)
            self.consumer.commit(asynchronous=False)
        self.clock.committed()
        self.taken = 0

    def abort(self):
        """Gives the transaction up, and goes back to the committed offsets."""
        self.producer.abort_transaction()
        self.seen -= self.taken
        self.taken = 0
        self.clock.retried += 1
        for partition in self.consumer.committed(self.consumer.assignment()):
            if partition.offset == OFFSET_INVALID:
                partition.offset = OFFSET_BEGINNING
            self.consumer.seek(partition)

    def revoked(self, _consumer, _partitions):
        """What was produced is committed while its partitions are still this member's."""
        if self.taken:
            self.commit()


if __name__ == "__main__":
    JOB = Job()
    COPY = Copy(JOB)
    COPY.run()
    JOB.report(COPY.clock)
