"""Columns, records, views, payloads, Arrow."""

from __future__ import annotations

import gc

import pytest
from conftest import Scene, take

import ksem

RECORDS = [
    ksem.OutputRecord("", b"k0", b"v0", [("a", b"1"), ("a", b"\x00\xff"), ("b", None), ("b", b"")], 0, 1),
    ksem.OutputRecord("", None, b"", None, 0, 2),
    ksem.OutputRecord("", b"", None, {"ünï": "cödé"}, 0, 3),
    ksem.OutputRecord("", "tèxt", bytearray(b"bytes"), [], 0, 4),
    ksem.OutputRecord("", memoryview(b"..view..")[2:6], memoryview(b"abcdef")[::2], [], 0, 5),
]

KEYS = [b"k0", None, b"", "tèxt".encode(), b"view"]
VALUES = [b"v0", b"", None, b"bytes", b"ace"]
HEADERS = [
    [("a", b"1"), ("a", b"\x00\xff"), ("b", None), ("b", b"")],
    [],
    [("ünï", "cödé".encode())],
    [],
    [],
]


@pytest.fixture
def batch(scene: Scene) -> ksem.Batch:
    with scene.open() as pipe:
        pipe.publish([record._replace(topic=scene.input) for record in RECORDS])
        return take(pipe)


def test_columns(scene: Scene, batch: ksem.Batch) -> None:
    assert len(batch) == 5
    assert batch.keys() == KEYS
    assert batch.values() == VALUES
    assert batch.headers() == HEADERS
    assert batch.timestamps() == [1, 2, 3, 4, 5]
    assert batch.partitions() == [0] * 5
    assert batch.offsets() == [0, 1, 2, 3, 4]
    assert batch.topics() == [scene.input] * 5
    assert [position[:3] for position in batch.positions()] == [(scene.input, 0, 5)]
    assert batch.size == sum(len(payload or b"") for payload in KEYS + VALUES)
    assert scene.input in repr(batch) and "v0" not in repr(batch)


def test_records(scene: Scene, batch: ksem.Batch) -> None:
    records = list(batch)
    assert [record.key for record in records] == KEYS
    assert [record.value for record in records] == VALUES
    assert [record.headers for record in records] == HEADERS
    assert [record.offset for record in records] == batch.offsets()
    assert (records[0].topic, records[0].partition, records[0].timestamp) == (scene.input, 0, 1)
    assert records[0].header("a") == b"\x00\xff"
    assert records[0].header("b", "other") == b""
    assert records[1].header("a") is None
    assert records[1].header("a", "other") == "other"
    assert batch[-1].value == b"ace"
    for index in (5, -6):
        with pytest.raises(IndexError):
            batch[index]
    assert "v0" not in repr(records[0])


def test_views_keep_their_memory_and_can_not_be_written(batch: ksem.Batch) -> None:
    keys = [record.key_view for record in batch]
    values = [record.value_view for record in batch]
    del batch
    gc.collect()
    assert [view if view is None else bytes(view) for view in keys] == KEYS
    assert [view if view is None else bytes(view) for view in values] == VALUES
    view = values[0]
    assert view is not None and view.readonly and view.format == "B" and len(view) == 2
    with pytest.raises(TypeError):
        view[0] = 1


def test_what_comes_out_is_what_went_in(scene: Scene, batch: ksem.Batch) -> None:
    stored = scene.broker.consume(scene.input)
    assert [record.headers for record in stored] == HEADERS
    assert [(record.key, record.value) for record in stored] == list(zip(KEYS, VALUES))


def test_what_is_no_payload_is_refused(scene: Scene) -> None:
    out = ksem.Output()
    for bad in (7, 1.5, ["x"], object()):
        with pytest.raises(TypeError):
            out.send(scene.output, value=bad)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            out.send_many(scene.output, [b"good", bad])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        out.send_many(scene.output, 7)  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        out.send(scene.output, "\ud800")
    with pytest.raises(OverflowError):
        out.send(scene.output, partition=2**31)
    with pytest.raises(ValueError, match="1 keys for 2 values"):
        out.send_many(scene.output, [b"a", b"b"], [b"k"])
    assert len(out) == 0
    out.send_many(scene.output, (value for value in (b"a", "b", None)), iter(["k", None, b""]))
    assert len(out) == 3


def test_indices_are_checked(scene: Scene) -> None:
    scene.fill("a", "b", "c")

    def handler(batch: ksem.Batch, out: ksem.Output) -> None:
        for bad in (3, 1000):
            with pytest.raises(IndexError):
                out.forward(scene.output, bad)
            with pytest.raises(IndexError):
                out.forward_many(scene.output, [0, bad])
        with pytest.raises(OverflowError):
            out.forward(scene.output, -1)
        assert len(out) == 0
        out.forward_many(scene.output, range(0, 3, 2))
        out.forward(scene.output, 1)

    with scene.open() as pipe:
        pipe.process(take(pipe), None, handler)
    assert scene.values() == [b"a", b"c", b"b"]


def test_an_output_ends_with_its_handler(scene: Scene) -> None:
    scene.fill("a")
    kept = []
    with scene.open() as pipe:
        pipe.process(take(pipe), None, lambda batch, out: kept.append(out))
    with pytest.raises(ksem.ConfigError, match="has ended"):
        kept[0].send(scene.output)


def test_arrow(scene: Scene, batch: ksem.Batch) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.record_batch(batch.to_arrow())
    table.validate(full=True)
    columns = table.to_pydict()
    assert columns["key"] == KEYS
    assert columns["value"] == VALUES
    assert columns["offset"] == batch.offsets()
    assert columns["topic"] == batch.topics()
    assert [timestamp.timestamp() * 1000 for timestamp in columns["timestamp"]] == pytest.approx(batch.timestamps())
    assert [[(header["name"], header["value"]) for header in row] for row in columns["headers"]] == HEADERS
    assert table.schema.field("partition").type == pa.int32()
    streamed = pa.table(batch.to_arrow())
    assert streamed.to_pydict() == columns
    del table, streamed
    gc.collect()


def test_arrow_in_polars_and_pandas(batch: ksem.Batch) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(batch.to_arrow())
    assert frame["value"].to_list() == VALUES
    assert frame["topic"].to_list() == batch.topics()
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame.from_arrow(batch.to_arrow())
    assert frame["offset"].to_list() == batch.offsets()
    assert frame["key"].to_list() == KEYS
