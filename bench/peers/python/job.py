"""What the bench says, as JSON in the last argument, and what it is told."""

import json
import os
import sys
import threading
import time


class Job:
    def __init__(self):
        job = json.loads(sys.argv[-1])
        self.bootstrap = job["bootstrap"]
        self.input = job["input"]
        self.output = job["output"]
        self.group = job["group"]
        self.records = job["records"]
        self.exactly_once = job["contestant"]["guarantee"] == "exactly_once"
        cadence = job["contestant"]["cadence"]
        # Records in a commit, or seconds between commits; the other one never decides.
        self.batch = cadence.get("records", sys.maxsize)
        self.interval = cadence["ms"] / 1000 if "ms" in cadence else float("inf")
        self._settings = job["settings"]
        self._done = False
        self._bench = threading.Thread(target=self._until_bench_is_gone, daemon=True)
        self._bench.start()

    def settings(self, prefix):
        """The settings whose names begin with a prefix, without it."""
        return {
            name.removeprefix(prefix): value
            for name, value in self._settings.items()
            if name.startswith(prefix)
        }

    def report(self, clock):
        """Prints the result, and waits until the bench has read what it wants to know about this process."""
        self._done = True
        print(json.dumps(clock.result()), flush=True)
        self._bench.join()

    def _until_bench_is_gone(self):
        os.read(0, 1)
        if not self._done:
            os._exit(1)


class Clock:
    """From the first record seen to the last commit."""

    def __init__(self):
        self.first_unix = 0.0
        self.first = 0.0
        self.last = 0.0
        self.retried = 0
        # What else was measured, by name.
        self.beside = {}

    def record_seen(self):
        if not self.first:
            self.first_unix = time.time()
            self.first = self.last = time.monotonic()

    def committed(self):
        self.last = time.monotonic()

    def result(self):
        return {
            "first_unix_us": int(self.first_unix * 1e6),
            "elapsed_s": self.last - self.first,
            "retried": self.retried,
            "beside": self.beside,
        }
