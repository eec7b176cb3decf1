"""Copies a topic with ksem's own Python package: whole columns, one call of the handler a batch.

With `--idle SECONDS` in front of the job it also counts in a second thread, with an empty handler, and reports what
part of its idle speed that thread keeps while the pipeline runs.
"""

import json
import sys
import threading
import time

import ksem
from job import Clock, Job


def pipeline(job):
    config = {
        "group": job.group,
        "inputs": [job.input],
        "guarantee": "exactly_once" if job.exactly_once else "at_least_once",
        "kafka": {"bootstrap.servers": job.bootstrap, **job.settings("kafka.")},
    }
    if job.batch < sys.maxsize:
        config["commit"] = {"max_records": job.batch}
    else:
        # So many that no commit reaches them before its time.
        most = {"max_records": 1_000_000, "max_bytes": 67_108_864}
        config["commit"] = {"commit_interval_ms": int(job.interval * 1000), **most}
    return ksem.open(config)


def copy(job, clock, forward=None):
    output = job.output

    def handler(batch, out):
        clock.record_seen()
        out.send_many(output, batch.values(), batch.keys())

    def empty(batch, out):
        clock.record_seen()

    with pipeline(job) as pipe:
        # `run` returns a moment after the last commit.
        def watch():
            while pipe.metrics()["records_in"] < job.records and not pipe.stopping:
                time.sleep(0.001)
            clock.committed()
            pipe.stop()

        watcher = threading.Thread(target=watch)
        watcher.start()
        pipe.run(empty if forward else handler)
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

    def speed(self, seconds):
        before, started = self.count, time.monotonic()
        time.sleep(seconds)
        return (self.count - before) / (time.monotonic() - started)


def main():
    job, clock = Job(), Clock()
    if "--idle" not in sys.argv:
        copy(job, clock)
        job.report(clock)
        return
    seconds = float(sys.argv[sys.argv.index("--idle") + 1])
    counter = Counter()
    idle = counter.speed(seconds)
    before, started = counter.count, time.monotonic()
    copy(job, clock, forward=True)
    running = (counter.count - before) / (time.monotonic() - started)
    counter.stop = True
    counter.thread.join()
    print(json.dumps({"idle": idle, "running": running, "kept": running / idle, **clock.result()}), flush=True)


if __name__ == "__main__":
    main()
