"""Copies a topic with ksem's own Python package: whole columns, one call of the handler a batch.

With `--counting` in front of the job the handler is empty, and a second thread does nothing but count: reported is what
part of its idle speed that thread keeps while the pipeline runs.
"""

import sys
import threading
import time

import ksem
from job import Clock, Job

IDLE_S = 2.0


def pipeline(job):
    return ksem.open(
        {
            "group": job.group,
            "inputs": [job.input],
            "guarantee": "exactly_once" if job.exactly_once else "at_least_once",
            "commit": {"max_records": job.batch},
            "kafka": {"bootstrap.servers": job.bootstrap},
        }
    )


def copy(job, clock, empty=False):
    output = job.output

    def handler(batch, out):
        clock.record_seen()
        if not empty:
            out.send_many(output, batch.values(), batch.keys())

    with pipeline(job) as pipe:
        # `run` returns a moment after the last commit.
        def watch():
            while pipe.metrics()["records_in"] < job.records and not pipe.stopping:
                time.sleep(0.001)
            clock.committed()
            pipe.stop()

        watcher = threading.Thread(target=watch)
        watcher.start()
        pipe.run(handler)
        watcher.join()
        metrics = pipe.metrics()
    clock.retried = metrics["batches_retried"] + metrics["transactions_aborted"]


class Counter:
    """A thread that does nothing but count."""

    def __init__(self):
        self.count = 0
        self.stop = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.stop:
            self.count += 1

    def end(self):
        self.stop = True
        self.thread.join()


def kept_by_counter(job, clock):
    """The part of its idle speed that a thread which counts keeps, from the first record to the last commit."""
    counter = Counter()
    time.sleep(IDLE_S)
    idle = counter.count / IDLE_S
    before, started = counter.count, time.monotonic()
    copy(job, clock, empty=True)
    running = (counter.count - before) / (time.monotonic() - started)
    counter.end()
    return running / idle


def main():
    job, clock = Job(), Clock()
    if "--counting" in sys.argv:
        clock.beside["counting_kept"] = kept_by_counter(job, clock)
    else:
        copy(job, clock)
    job.report(clock)


if __name__ == "__main__":
    main()
