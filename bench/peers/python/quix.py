"""Copies a topic with Quix Streams."""

import tempfile

from quixstreams import Application
from quixstreams.checkpointing import Checkpoint

from job import Clock, Job


def watch_commits(clock):
    """The framework tells nobody of its commits."""
    commit = Checkpoint.commit

    def watched(checkpoint, *args, **kwargs):
        empty = checkpoint.empty()
        commit(checkpoint, *args, **kwargs)
        if not empty:
            clock.committed()

    Checkpoint.commit = watched


def run(job, clock, state_dir):
    seen = 0

    def processed(_topic, _partition, _offset):
        nonlocal seen
        if not seen:
            clock.record_seen()
        seen += 1
        if seen == job.records:
            application.stop()

    application = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        commit_interval=job.interval,
        processing_guarantee="exactly-once" if job.exactly_once else "at-least-once",
        consumer_extra_config=job.settings("consumer."),
        producer_extra_config=job.settings("producer."),
        auto_create_topics=False,
        use_changelog_topics=False,
        on_message_processed=processed,
        state_dir=state_dir,
        loglevel="ERROR",
    )
    source = application.topic(job.input, key_deserializer="bytes", value_deserializer="bytes")
    target = application.topic(job.output, key_serializer="bytes", value_serializer="bytes")
    application.dataframe(source).to_topic(target)
    application.run()


if __name__ == "__main__":
    JOB, CLOCK = Job(), Clock()
    watch_commits(CLOCK)
    with tempfile.TemporaryDirectory() as folder:
        run(JOB, CLOCK, folder)
    JOB.report(CLOCK)
