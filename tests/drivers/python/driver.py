"""The driver of the conformance suite for Python: tests/PROTOCOL.md."""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
import time
from collections import defaultdict
from typing import Any, Callable, Dict, List, Optional

import ksem
from ksem.testing import Broker

Request = Dict[str, Any]


class Thrown(Exception):
    """What a handler raises when it is told to fail."""


_lines = threading.Lock()
#: What requests have made, by kind and name.
_made: Dict[str, Dict[str, Any]] = defaultdict(dict)
#: Names that are paused at, or were resumed.
_resumed: Dict[str, threading.Event] = defaultdict(threading.Event)


def say(message: Dict[str, Any]) -> None:
    with _lines:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def resumed(name: str) -> threading.Event:
    with _lines:
        return _resumed[name]


def to_bytes(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else base64.b64decode(text)


def to_text(payload: Optional[bytes]) -> Optional[str]:
    return None if payload is None else base64.b64encode(payload).decode()


def get(request: Request, kind: str) -> Any:
    return _made[kind][request[kind]]


def keep(request: Request, kind: str, made: Any) -> None:
    _made[kind][request[kind]] = made


def record(fields: Request) -> ksem.OutputRecord:
    headers = [(name, to_bytes(value)) for name, value in fields.get("headers", [])]
    value = b"x" * fields["fill"] if "fill" in fields else to_bytes(fields.get("value"))
    key = to_bytes(fields.get("key"))
    return ksem.OutputRecord(fields["topic"], key, value, headers, fields.get("partition"), fields.get("timestamp"))


def report(made: ksem.Report) -> Dict[str, Any]:
    return {
        "applied": made.applied.value,
        "guarantee": made.guarantee.value,
        "records": made.records,
        "outputs": made.outputs,
        "dead_lettered": made.dead_lettered,
        "skipped": made.skipped,
        "retried": made.retried,
        "attempts": made.attempts,
        "offsets": [[position.topic, position.partition, position.offset] for position in made.offsets],
        "cause": made.cause,
    }


def failure(error: ksem.KsemError) -> Dict[str, Any]:
    cause = error.__cause__
    return {
        "code": error.code,
        "number": error.number,
        "class": error.class_,
        "retry": error.retry,
        "outcome": error.outcome,
        "message": error.message,
        "thrown": None if cause is None or isinstance(cause, ksem.KsemError) else str(cause),
    }


class Handler:
    """Takes the steps of a request, one after the other, at each call."""

    def __init__(self, request: Request) -> None:
        self.id = request["id"]
        self.steps: List[Request] = request["handler"]
        self.calls = 0
        self.lock = threading.Lock()

    def __call__(self, batch: ksem.Batch, out: ksem.Output) -> None:
        with self.lock:
            self.calls += 1
            call = self.calls
        for step in self.steps:
            if call in step.get("calls", [call]) and ("value" not in step or to_bytes(step["value"]) in batch.values()):
                getattr(self, "step_" + step["step"])(step, batch, out, call)

    def step_forward(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        out.forward_many(step["topic"])

    def step_copy(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        for each in batch:
            partition = each.partition if step.get("partition") == "same" else None
            out.send(step["topic"], each.key, each.value, each.headers, partition, each.timestamp)

    def step_copy_columns(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        out.send_many(step["topic"], batch.values(), batch.keys())

    def step_send(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        for _ in range(step.get("times", 1)):
            out.send(*record(step["record"]))

    def step_sleep(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        time.sleep(step["ms"] / 1000)

    def step_pause(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        say({"event": "paused", "at": step["at"], "id": self.id, "call": call, "records": len(batch)})
        resumed(step["at"]).wait()

    def step_verdict(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        value = to_bytes(step["value"])
        for index in [index for index, found in enumerate(batch.values()) if found == value]:
            if step["verdict"] == "retry":
                out.retry(index)
            elif step["verdict"] == "dead_letter":
                out.dead_letter(index, step["reason"])
            else:
                out.skip(index)

    def step_fail(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        raise Thrown(step["text"])

    def step_panic(self, step: Request, batch: ksem.Batch, out: ksem.Output, call: int) -> None:
        raise ArithmeticError(step["text"])


def hello(request: Request) -> Any:
    return {"language": "python", "version": ksem.version(), "protocol": 1}


def errors(request: Request) -> Any:
    names = ("code", "number", "class", "retry", "outcome")
    return {"errors": [dict(zip(names, row)) for row in ksem.error_codes()]}


def open_(request: Request) -> Any:
    config = next(request[name] for name in ("config", "config_text", "config_file") if name in request)
    pipe = ksem.open(config)
    keep(request, "pipe", pipe)
    return {"instance_id": pipe.instance_id}


def poll(request: Request) -> Any:
    batch = get(request, "pipe").poll(request["timeout_ms"] / 1000)
    if batch is None:
        return {"records": 0}
    keep(request, "batch", batch)
    if not request.get("columns"):
        return {"records": len(batch)}
    return {
        "records": len(batch),
        "topics": batch.topics(),
        "partitions": batch.partitions(),
        "offsets": batch.offsets(),
        "timestamps": batch.timestamps(),
        "keys": [to_text(key) for key in batch.keys()],
        "values": [to_text(value) for value in batch.values()],
        "headers": [[[name, to_text(value)] for name, value in headers] for headers in batch.headers()],
    }


def drop(request: Request) -> Any:
    get(request, "batch").release()


def process(request: Request) -> Any:
    handler = Handler(request)
    return report(get(request, "pipe").process(get(request, "batch"), request["guarantee"], handler))


def run(request: Request) -> Any:
    get(request, "pipe").run(Handler(request))


def begin(request: Request) -> Any:
    keep(request, "attempt", get(request, "pipe").begin(get(request, "batch"), request["guarantee"]))


def send(request: Request) -> Any:
    for fields in request["records"]:
        get(request, "attempt").out.send(*record(fields))


def forward(request: Request) -> Any:
    get(request, "attempt").out.forward_many(request["topic"])


def commit(request: Request) -> Any:
    return report(get(request, "attempt").commit())


def abort(request: Request) -> Any:
    return report(get(request, "attempt").abort(request["reason"]))


def publish(request: Request) -> Any:
    records = [record(fields) for fields in request["records"]]
    return {"records": get(request, "pipe").publish(records, request["guarantee"])}


def stop(request: Request) -> Any:
    get(request, "pipe").stop()


def close(request: Request) -> Any:
    get(request, "pipe").close()


def metrics(request: Request) -> Any:
    return get(request, "pipe").metrics()


def broker(request: Request) -> Any:
    started = Broker(dict(request["topics"]))
    keep(request, "broker", started)
    return {"bootstrap": started.bootstrap}


def broker_stop(request: Request) -> Any:
    get(request, "broker").stop()


def resume(request: Request) -> Any:
    resumed(request["at"]).set()


VERBS: Dict[str, Callable[[Request], Any]] = {
    verb.__name__.rstrip("_"): verb
    for verb in (
        hello, errors, open_, poll, drop, process, run, begin, send, forward, commit, abort,
        publish, stop, close, metrics, broker, broker_stop, resume,
    )
}  # fmt: skip


def answer(request: Request) -> None:
    number = request["id"]
    try:
        result = VERBS[request["do"]](request)
        say({"id": number, "ok": {} if result is None else result})
    except ksem.KsemError as error:
        say({"id": number, "error": failure(error)})
    except BaseException as error:
        say({"id": number, "broken": f"{type(error).__name__}: {error}"})


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "exit":
            say({"id": request["id"], "ok": {}})
            break
        threading.Thread(target=answer, args=(request,), daemon=True).start()
    # What is open stays open.
    os._exit(0)


if __name__ == "__main__":
    main()
