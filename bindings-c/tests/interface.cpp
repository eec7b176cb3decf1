// The C++ interface on the embedded broker: exceptions, ranges, ownership.
#include <ksem.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <numeric>
#include <thread>

#define CHECK(condition) \
    ((condition) ? void() : (std::cerr << __FILE__ << ":" << __LINE__ << ": not so: " #condition "\n", std::exit(1)))

using namespace std::chrono_literals;
using ksem::Applied;
using ksem::BatchView;
using ksem::Bytes;
using ksem::Guarantee;
using ksem::Output;
using ksem::Pipeline;

namespace {

Pipeline open(const ksem::testing::Broker &broker, const std::string &group, const std::string &input,
              const std::string &routes = "") {
    return Pipeline::open_json(R"({"group": ")" + group + R"(", "inputs": [")" + input +
                               R"("], "guarantee": "exactly_once", "kafka": {"bootstrap.servers": ")" +
                               broker.bootstrap() + R"("}, "batch": {"linger_ms": 200}, "transactions": {"instance_id": ")" +
                               group + R"("}, "retry": {"max_attempts": 2, "backoff_ms": 10})" + routes + "}");
}

std::size_t committed(const ksem::testing::Broker &broker, const std::string &topic) {
    static int readers = 0;
    std::size_t found = 0;
    open(broker, "reader-" + std::to_string(readers++), topic)
        .run([&](const BatchView &batch, Output &) { found += batch.size(); }, ksem::Until::caught_up);
    return found;
}

/// An exception that only this file knows.
struct Refused : std::runtime_error {
    Refused(std::string what, int number) : std::runtime_error(std::move(what)), number(number) {}
    int number;
};

void records(const ksem::testing::Broker &broker) {
    const Pipeline pipeline = open(broker, "records", "in");
    const std::vector<ksem::Header> headers = {{"trace", "one"}, {"trace", Bytes("\0\xff", 2)}, {"null", nullptr}};
    Output records;
    records.send("in", "key", std::string("value"), {headers, 0, 1700000000123});
    records.send("in", nullptr, "");
    records.send(std::string("in"), std::optional<std::string>(), nullptr);
    CHECK(records.size() == 3);
    CHECK(pipeline.publish(records, Guarantee::at_least_once) == 3);

    auto batch = pipeline.poll(30s);
    CHECK(batch && batch->size() == 3 && batch->bytes() == 8);
    const ksem::Record first = (*batch)[0];
    CHECK(first.topic() == "in" && first.partition() == 0 && first.timestamp() == 1700000000123);
    CHECK(first.key() == "key" && first.value().string() == "value");
    CHECK(first.headers().size() == 3 && first.headers()[0].name() == "trace");
    CHECK(first.header("trace") == Bytes("\0\xff", 2) && first.header("null")->is_null() && !first.header("none"));
    const ksem::Columns columns = batch->columns();
    CHECK(columns.keys[1].is_null() && columns.values[1] == "" && columns.values[2].is_null());
    CHECK(columns.offsets[2] == (*batch)[2].offset() && columns.topics[0] == std::string("in"));
    const auto bytes = std::accumulate(batch->begin(), batch->end(), std::size_t{0},
                                       [](auto sum, const ksem::Record &record) { return sum + record.value().size(); });
    CHECK(bytes == 5);

    const auto report = pipeline.process(*batch, Guarantee::exactly_once, [](const BatchView &all, Output &out) {
        out.send_many("out", all.columns().keys, all.columns().values);
        std::for_each(all.begin(), all.end(), [&](const ksem::Record &record) { out.forward("out", record); });
    });
    CHECK(report.applied == Applied::applied && report.outputs == 6 && report.attempts == 1 && !report.cause);
    CHECK(report.offsets.size() == 1 && report.offsets[0].topic == "in");
    CHECK(broker.committed_offset("records", "in", 0) == report.offsets[0].offset);
    CHECK(pipeline.metrics().at("records_out") == 6);
    CHECK(committed(broker, "out") == 6);
}

void exceptions(const ksem::testing::Broker &broker) {
    CHECK(!ksem::handler_error());
    const Pipeline pipeline = open(broker, "exceptions", "in");
    int calls = 0;
    const auto fail = [&](const BatchView &, Output &out) {
        out.forward_all("out");
        throw Refused("call " + std::to_string(++calls), 7);
    };
    std::int64_t first = -1;
    for (int round = 0; round < 2; ++round) {
        auto batch = pipeline.poll(30s);
        CHECK(batch && (first < 0 || (*batch)[0].offset() == first));
        first = (*batch)[0].offset();
        try {
            pipeline.process(*batch, Guarantee::exactly_once, fail);
            CHECK(!"it was thrown");
        } catch (const Refused &refused) {
            CHECK(refused.number == 7 && refused.what() == "call " + std::to_string(calls));
            const auto &behind = ksem::handler_error();
            CHECK(behind && behind->code() == KSEM_HANDLER_FAILED && behind->outcome() == std::string("not_applied"));
        }
    }
    CHECK(calls == 4);

    {
        auto batch = pipeline.poll(30s);
        try {
            pipeline.process(*batch, Guarantee::exactly_once, [](const BatchView &, Output &) { throw 42; });
            CHECK(!"it was thrown");
        } catch (int number) {
            CHECK(number == 42);
        }
    }
    {
        auto batch = pipeline.poll(30s);
        try {
            pipeline.process(*batch, Guarantee::exactly_once, [](const BatchView &, Output &out) { out.forward("out", 99); });
            CHECK(!"it was thrown");
        } catch (const ksem::Error &error) {
            CHECK(error.code() == KSEM_MISUSE && error.message() == "record 99 of 3 can't be forwarded");
        }
    }
    // At-least-once and at-most-once too; what at-most-once loses is told in the report.
    {
        auto batch = pipeline.poll(30s);
        const auto report = pipeline.process(*batch, Guarantee::at_most_once, fail);
        CHECK(report.applied == Applied::lost && report.cause && report.cause->find("call 5") != std::string::npos);
    }
    CHECK(committed(broker, "out") == 6);

    Output more;
    more.send("in", "k", "v");
    pipeline.publish(more, Guarantee::exactly_once);
    bool thrown = false;
    const auto flaky = [&](const BatchView &, Output &out) {
        out.forward_all("out");
        if (!std::exchange(thrown, true)) throw Refused("once", 1);
    };
    pipeline.run(flaky, ksem::Until::caught_up);
    CHECK(thrown && committed(broker, "out") == 7);
    pipeline.close();

    const Pipeline failing = open(broker, "exceptions-run", "in");
    try {
        failing.run([](const BatchView &, Output &) { throw Refused("in a run", 9); });
        CHECK(!"it was thrown");
    } catch (const Refused &refused) {
        CHECK(refused.number == 9 && refused.what() == std::string("in a run"));
    }
}

void errors(const ksem::testing::Broker &broker) {
    try {
        Pipeline::open_toml("group = 1");
        CHECK(!"it was thrown");
    } catch (const ksem::Error &error) {
        CHECK(error.code() == KSEM_CONFIG_INVALID && error.name() == std::string("config_invalid"));
        CHECK(error.error_class() == std::string("config") && error.retry() == std::string("never"));
        CHECK(error.message().find("group: wrong type") != std::string::npos && error.outcome() == std::string("not_applied"));
    }
    Pipeline pipeline = open(broker, "errors", "in");
    auto batch = pipeline.poll(30s);
    ksem::Batch moved = std::move(*batch);
    const auto code = [](auto call) {
        try {
            call();
        } catch (const ksem::Error &error) {
            return error.code();
        }
        return KSEM_OK;
    };
    CHECK(code([&] { pipeline.process(*batch, Guarantee::exactly_once); }) == KSEM_MISUSE);
    CHECK(batch->size() == 0 && moved.size() > 0);
    pipeline.close();
    pipeline.close();
    CHECK(code([&] { pipeline.poll(0ms); }) == KSEM_MISUSE);
    CHECK(code([&] { pipeline.run([](const BatchView &, Output &) {}); }) == KSEM_MISUSE);
    CHECK(code([&] { pipeline.begin(moved, Guarantee::exactly_once); }) == KSEM_MISUSE);
    Pipeline other = open(broker, "other", "in");
    pipeline = std::move(other);
    CHECK(pipeline.instance_id() == "other" && other.raw() == nullptr);
    CHECK(ksem::version() == KSEM_VERSION && ksem::parse_guarantee("exactly-once") == Guarantee::exactly_once);
}

void attempts_and_routes(const ksem::testing::Broker &broker) {
    const Pipeline pipeline = open(broker, "attempts", "in", R"(, "route": [{"from": "in", "to": ["routed"]}])");
    const auto before = committed(broker, "out");
    std::size_t records = 0;
    {
        auto batch = pipeline.poll(30s);
        records = batch->size();
        auto attempt = pipeline.begin(*batch, Guarantee::exactly_once);
        attempt.output().forward_all("out");
    }
    {
        auto batch = pipeline.poll(30s);
        CHECK(batch->size() == records);
        auto attempt = pipeline.begin(*batch, Guarantee::exactly_once);
        for (const ksem::Record &record : attempt.batch()) attempt.output().forward("out", record);
        CHECK(attempt.abort("not now").applied == Applied::redelivered);
    }
    {
        auto batch = pipeline.poll(30s);
        auto attempt = pipeline.begin(*batch, Guarantee::exactly_once);
        attempt.output().forward_all("out");
        CHECK(attempt.commit().outputs == records);
    }
    CHECK(committed(broker, "out") == before + records);
    Output more;
    more.send("in", "k", "v");
    pipeline.publish(more, Guarantee::exactly_once);
    pipeline.run(ksem::Until::caught_up);
    CHECK(committed(broker, "routed") == 1);
}

void stops(const ksem::testing::Broker &broker) {
    const Pipeline pipeline = open(broker, "stops", "in");
    std::thread stopper([&] {
        std::this_thread::sleep_for(200ms);
        pipeline.stop();
    });
    const auto here = std::this_thread::get_id();
    pipeline.run([&](const BatchView &, Output &) { CHECK(std::this_thread::get_id() == here); });
    stopper.join();
    CHECK(!pipeline.poll(1h));
}

}  // namespace

int main() {
    ksem::testing::Broker broker;
    for (const char *topic : {"in", "out", "routed"}) broker.create_topic(topic);
    records(broker);
    exceptions(broker);
    errors(broker);
    attempts_and_routes(broker);
    stops(broker);
    std::cout << "interface.cpp: ok\n";
}
