"""Orders become invoices and analytics, under a guarantee from the command line:

python orders.py localhost:9092 exactly_once
"""

import sys

import ksem


def bill(batch: ksem.Batch, out: ksem.Output) -> None:
    invoices = [b"invoice for " + (order or b"nothing") for order in batch.values()]
    out.send_many("invoices", invoices, batch.keys())
    out.forward_many("analytics")  # unchanged, with headers and timestamps


def main() -> int:
    if len(sys.argv) != 3:
        print("usage: orders.py BOOTSTRAP at_most_once|at_least_once|exactly_once", file=sys.stderr)
        return 2
    bootstrap, guarantee = sys.argv[1:]
    config = {
        "group": f"orders-python-{guarantee}",
        "inputs": ["orders"],
        "guarantee": guarantee,
        "kafka": {"bootstrap.servers": bootstrap},
    }
    try:
        with ksem.open(config) as pipe:
            pipe.run(bill, until="caught_up")
            metrics = pipe.metrics()
    except ksem.KsemError as error:
        print(error, file=sys.stderr)
        return 1 if error.retry == "never" else 75
    print(f"{guarantee}: {metrics['records_in']} orders")
    return 0


if __name__ == "__main__":
    sys.exit(main())
