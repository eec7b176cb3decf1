"""Open, poll, process, run, begin, publish, stop, close."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from conftest import Scene, copy, take

import ksem

GUARANTEES = list(ksem.Guarantee)


def toml(scene: Scene, path: Path) -> Path:
    path.write_text(
        f"""
        group = "{scene.group}"
        inputs = ["{scene.input}"]
        guarantee = "exactly_once"
        [kafka]
        bootstrap.servers = "{scene.broker.bootstrap}"
        """
    )
    return path


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_batch_is_processed(scene: Scene, guarantee: ksem.Guarantee) -> None:
    scene.fill("a", "b", "c")
    with scene.open(guarantee=guarantee) as pipe:
        assert pipe.guarantee is guarantee
        batch = take(pipe)
        report = pipe.process(batch, guarantee, copy(scene))
    assert report.applied is ksem.Applied.APPLIED
    assert (report.guarantee, report.records, report.outputs, report.attempts) == (guarantee, 3, 3, 1)
    assert [(position.topic, position.partition, position.offset) for position in report.offsets] == [
        (scene.input, 0, 3)
    ]
    assert 0 < report.took < 30
    assert (report.cause, report.exception) == (None, None)
    assert scene.values() == [b"a", b"b", b"c"]
    assert scene.committed() == 3


def test_a_run_ends_when_it_has_caught_up(broker: ksem.testing.Broker) -> None:
    scene = Scene(broker, partitions=4)
    scene.fill(*range(1000))
    caller = threading.get_ident()
    threads = set()

    def handler(batch: ksem.Batch, out: ksem.Output) -> None:
        threads.add(threading.get_ident())
        out.send_many(scene.output, batch.values(), batch.keys())
        out.forward_many(scene.other)

    with scene.open() as pipe:
        pipe.run(handler, until="caught_up")
        metrics = pipe.metrics()
    assert threads == {caller}
    assert (metrics["records_in"], metrics["records_out"]) == (1000, 2000)
    expected = sorted(str(value).encode() for value in range(1000))
    assert sorted(scene.values()) == sorted(scene.values(scene.other)) == expected


def test_stop_ends_a_run_an_iteration_and_a_poll(scene: Scene) -> None:
    with scene.open() as pipe:
        timer = threading.Timer(0.3, pipe.stop)
        timer.start()
        pipe.run(copy(scene))
        assert pipe.stopping
        assert list(pipe) == []
        assert pipe.poll() is None
        timer.join()


def test_iteration_polls(scene: Scene) -> None:
    scene.fill("a", "b")
    with scene.open() as pipe:
        for batch in pipe:
            assert pipe.process(batch, None, copy(scene)).guarantee == "exactly_once"
            pipe.stop()
    assert scene.values() == [b"a", b"b"]


def test_a_poll_takes_as_long_as_it_may(scene: Scene) -> None:
    with scene.open() as pipe:
        assert pipe.poll(0) is None
        assert pipe.poll(0.05) is None
        with pytest.raises(ValueError, match="seconds"):
            pipe.poll(-1)


def test_a_batch_that_is_let_go_comes_again(scene: Scene) -> None:
    scene.fill("a")
    with scene.open() as pipe:
        batch = take(pipe)
        assert pipe.poll(0.05) is None
        batch.release()
        batch.release()
        again = take(pipe)
        assert (batch[0].offset, again[0].offset) == (0, 0)
        with pytest.raises(ksem.ConfigError, match="processed or released"):
            pipe.process(batch, None, copy(scene))
        del again
        assert take(pipe).values() == [b"a"]


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_an_attempt_commits_or_aborts(scene: Scene, guarantee: ksem.Guarantee) -> None:
    scene.fill("a")
    lost = guarantee is ksem.Guarantee.AT_MOST_ONCE
    with scene.open(guarantee=guarantee) as pipe:
        attempt = pipe.begin(take(pipe), guarantee)
        attempt.out.send(scene.output, value=b"never")
        report = attempt.abort("not yet")
        assert report is attempt.report and attempt.ended
        assert report.applied is (ksem.Applied.LOST if lost else ksem.Applied.REDELIVERED)
        assert "not yet" in str(report.cause)
        if lost:
            scene.fill("b")
        with pipe.begin(take(pipe)) as attempt:
            attempt.out.forward_many(scene.output)
            assert len(attempt.out) == len(attempt.batch) == 1
        assert attempt.report is not None and attempt.report.applied is ksem.Applied.APPLIED
        with pytest.raises(ksem.ConfigError, match="ended"):
            attempt.commit()
        with pytest.raises(ksem.ConfigError, match="ended"):
            attempt.out.send(scene.output)
    assert scene.values() == ([b"b"] if lost else [b"a"])


def test_an_attempt_is_aborted_by_an_exception_and_when_it_is_let_go(scene: Scene) -> None:
    scene.fill("a")
    with scene.open() as pipe:
        with pytest.raises(KeyError, match="why"), pipe.begin(take(pipe)) as attempt:
            attempt.out.send(scene.output, value=b"never")
            raise KeyError("why")
        assert attempt.report is not None and "KeyError: 'why'" in str(attempt.report.cause)
        attempt = pipe.begin(take(pipe))
        attempt.out.send(scene.output, value=b"never")
        del attempt
        assert pipe.process(take(pipe), None, copy(scene)).records == 1
    assert scene.values() == [b"a"]


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_publishing(scene: Scene, guarantee: ksem.Guarantee) -> None:
    with scene.open() as pipe:
        records = [
            ksem.OutputRecord(scene.output, "k", "v", [("h", b"1")], 0, 1_700_000_000_000),
            (scene.output, None, None),
        ]
        assert pipe.publish(records, guarantee) == 2
        out = ksem.Output()
        out.send_many(scene.output, ["x", "y"])
        assert pipe.publish(out, guarantee) == 2
        assert len(out) == 0
        with pytest.raises(IndexError):
            out.forward(scene.output, 0)
    stored = scene.broker.consume(scene.output)
    assert [record.value for record in stored] == [b"v", None, b"x", b"y"]
    assert stored[0][3:] == (1_700_000_000_000, b"k", b"v", [("h", b"1")])


def test_records_that_nobody_takes_stay_in_their_output(scene: Scene) -> None:
    with scene.open() as pipe:
        out = ksem.Output()
        out.send(scene.output, value=b"x" * 2_000_000)
        with pytest.raises(ksem.ConfigError) as caught:
            pipe.publish(out)
        assert caught.value.code == "record_invalid"
        assert len(out) == 1


def test_a_configuration_is_a_path_a_mapping_or_a_json_text(scene: Scene, tmp_path: Path) -> None:
    path = toml(scene, tmp_path / "pipeline.toml")
    config = scene.config(transactions={"instance_id": "one", "state_dir": tmp_path})
    for source in (path, str(path), config, json.dumps(scene.config())):
        with ksem.open(source) as pipe:
            assert pipe.instance_id
    with ksem.open(config) as pipe:
        assert pipe.instance_id == "one"
    assert "max_records" in ksem.config_reference()


def test_every_problem_of_a_configuration_is_reported() -> None:
    with pytest.raises(ksem.ConfigError) as caught:
        ksem.open({"group": "g", "inputz": [], "batch": {"max_records": 0}})
    error = caught.value
    assert (error.code, error.number, error.class_) == ("config_invalid", 1001, "config")
    for part in ("inputz", "max_records", "bootstrap.servers"):
        assert part in str(error)
    with pytest.raises(ksem.ConfigError, match="can't read"):
        ksem.open("/nowhere/pipeline.toml")
    with pytest.raises(ksem.ConfigError, match="syntax"):
        ksem.open("{ no json")
    with pytest.raises(ksem.ConfigError, match="no fields"):
        ksem.open("")
    with pytest.raises(ksem.ConfigError, match="no fields"):
        ksem.open({})
    with pytest.raises(TypeError):
        ksem.open(7)  # type: ignore[arg-type]


def test_a_topic_that_is_not_there(scene: Scene) -> None:
    with pytest.raises(ksem.ConfigError) as caught:
        ksem.open({**scene.config(), "inputs": ["nowhere"]})
    assert caught.value.code == "topic_unknown"


def test_use_after_close(scene: Scene) -> None:
    scene.fill("a")
    pipe = scene.open()
    batch = take(pipe)
    pipe.close()
    pipe.close()
    assert batch.values() == [b"a"]
    for call in (
        lambda: pipe.poll(0),
        lambda: pipe.process(batch, None, copy(scene)),
        lambda: pipe.run(copy(scene)),
        lambda: pipe.publish([(scene.output, "k", "v")]),
        lambda: next(pipe),
    ):
        with pytest.raises(ksem.KsemError) as caught:
            call()
        assert caught.value.code == "misuse", caught.value
    pipe.stop()
    assert pipe.metrics()["records_in"] == 0
    assert pipe.instance_id


def test_misuse(scene: Scene) -> None:
    scene.fill("a")
    with scene.open() as pipe:
        batch = take(pipe)
        with pytest.raises(ksem.ConfigError, match="no guarantee"):
            pipe.process(batch, "twice", copy(scene))
        with pytest.raises(ValueError, match="caught_up"):
            pipe.run(copy(scene), until="never")  # type: ignore[arg-type]

        def nested(inner: ksem.Batch, out: ksem.Output) -> None:
            with pytest.raises(ksem.ConfigError, match="belongs to a handler"):
                pipe.process(inner, None, copy(scene))

        pipe.process(batch, None, nested)


def test_a_second_run_is_refused(scene: Scene) -> None:
    scene.fill("a")
    runs = threading.Event()

    def handler(batch: ksem.Batch, out: ksem.Output) -> None:
        runs.set()

    with scene.open() as pipe:
        thread = threading.Thread(target=pipe.run, args=(handler,))
        thread.start()
        assert runs.wait(30)
        with pytest.raises(ksem.ConfigError, match="runs already"):
            pipe.run(handler, until="caught_up")
        pipe.stop()
        thread.join()


def test_a_pipeline_is_refused_after_a_fork(scene: Scene) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    with scene.open() as pipe:
        child = os.fork()
        if child == 0:
            try:
                pipe.poll(0)
            except ksem.ConfigError as error:
                os._exit(0 if "another process" in str(error) else 2)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_versions_and_codes() -> None:
    assert ksem.__version__ == ksem.version()
    codes = {code.code: code for code in ksem.error_codes()}
    assert codes["producer_fenced"].number == 3001
    assert codes["handler_failed"][2:5] == ("handler", "never", "not_applied")
    assert all(code.doc for code in codes.values())
