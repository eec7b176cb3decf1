"""The example, from wherever ksem is installed: as a test, and as a program in an environment that has nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import ksem
from ksem.testing import Broker

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "python" / "orders.py"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(EXAMPLE), *arguments], capture_output=True, text=True, timeout=120)


def test_orders_become_invoices_and_analytics() -> None:
    for guarantee in ksem.Guarantee:
        with Broker({"orders": 4, "invoices": 1, "analytics": 1}) as broker:
            broker.fill("orders", map(str, range(1000)), map(str, range(1000)))
            ended = run(broker.bootstrap, guarantee)
            assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{guarantee}: 1000 orders\n", "")
            invoices = sorted(record.value or b"" for record in broker.consume("invoices"))
            assert invoices == sorted(b"invoice for %d" % order for order in range(1000))
            analytics = sorted(record.value or b"" for record in broker.consume("analytics"))
            assert analytics == sorted(b"%d" % order for order in range(1000))


def test_errors_have_an_exit_status() -> None:
    assert run().returncode == 2
    ended = run("127.0.0.1:1", "twice")
    assert ended.returncode == 1 and "guarantee" in ended.stderr


def test_it_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60


def main() -> None:
    """What holds of an installed wheel."""
    assert version("ksem") == ksem.__version__
    everything = entry_points()
    plugins = everything.select(group="pytest11") if hasattr(everything, "select") else everything["pytest11"]
    assert [plugin.value for plugin in plugins] == ["ksem.pytest_plugin"]
    assert (Path(ksem.__file__).parent / "py.typed").exists()
    try:
        raise AssertionError(f"this environment is not empty: pytest {version('pytest')}")
    except PackageNotFoundError:
        pass
    test_orders_become_invoices_and_analytics()
    test_errors_have_an_exit_status()
    print(f"ksem {ksem.__version__} from {ksem.__file__}")


if __name__ == "__main__":
    main()
