// The conformance driver of C++: see tests/PROTOCOL.md.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <set>
#include <thread>

#include "json.hpp"

namespace driver {

/// The handler's own exception.
struct Thrown : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Objects that the runner has named; they are kept when they are used up.
template <class T>
class Named {
public:
    void set(const std::string &name, std::shared_ptr<T> value) {
        std::lock_guard<std::mutex> lock(mutex_);
        all_[name] = std::move(value);
    }
    std::shared_ptr<T> get(const std::string &name) {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto found = all_.find(name);
        if (found == all_.end() || !found->second) throw Broken("nothing has the name " + name);
        return found->second;
    }

private:
    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<T>> all_;
};

Named<ksem::Pipeline> pipes;
Named<ksem::Batch> batches;
Named<ksem::Attempt> attempts;
Named<ksem::testing::Broker> brokers;

std::mutex said, resuming;
std::condition_variable resumed;
std::set<std::string> resumes;

/// Writes a line at once.
void say(const json &line) {
    std::lock_guard<std::mutex> lock(said);
    std::cout << line.dump() << std::endl;
}

/// A handler that is data.
class Script {
public:
    explicit Script(const json &request) : id_(request.at("id")), steps_(request.at("handler")) {}

    void operator()(const ksem::BatchView &batch, ksem::Output &out) {
        const int call = ++calls_;
        for (const json &step : steps_) {
            if (applies(step, call, batch)) take(step, call, batch, out);
        }
    }

private:
    static bool applies(const json &step, int call, const ksem::BatchView &batch) {
        if (step.contains("calls")) {
            const json &calls = step["calls"];
            if (std::find(calls.begin(), calls.end(), json(call)) == calls.end()) return false;
        }
        const auto value = decoded(step.value("value", json()));
        return !value || std::any_of(batch.begin(), batch.end(),
                                     [&](const ksem::Record &record) { return record.value() == ksem::Bytes(value); });
    }

    void take(const json &step, int call, const ksem::BatchView &batch, ksem::Output &out) {
        const std::string kind = step.at("step");
        const std::string topic = step.value("topic", "");
        if (kind == "forward") {
            for (const ksem::Record &record : batch) out.forward(topic.c_str(), record);
        } else if (kind == "copy") {
            for (const ksem::Record &record : batch) {
                ksem::Extras extras{record.headers(), std::nullopt, record.timestamp()};
                if (step.value("partition", "") == "same") extras.partition = record.partition();
                out.send(topic, record.key(), record.value(), extras);
            }
        } else if (kind == "copy_columns") {
            const ksem::Columns columns = batch.columns();
            out.send_many(topic.c_str(), columns.keys, columns.values);
        } else if (kind == "send") {
            for (int i = step.value("times", 1); i > 0; --i) send(json::array({step.at("record")}), out);
        } else if (kind == "sleep") {
            std::this_thread::sleep_for(std::chrono::milliseconds(step.at("ms").get<int>()));
        } else if (kind == "pause") {
            const std::string at = step.at("at");
            say({{"event", "paused"}, {"at", at}, {"id", id_}, {"call", call}, {"records", batch.size()}});
            std::unique_lock<std::mutex> lock(resuming);
            resumed.wait(lock, [&] { return resumes.count(at) > 0; });
        } else if (kind == "verdict") {
            const auto value = decoded(step.at("value"));
            const std::string verdict = step.at("verdict");
            for (const ksem::Record &record : batch) {
                if (!(record.value() == ksem::Bytes(value))) continue;
                if (verdict == "retry") out.retry(record);
                else if (verdict == "dead_letter") out.dead_letter(record, step.at("reason"));
                else out.skip(record);
            }
        } else if (kind == "fail") {
            throw Thrown(step.at("text").get<std::string>());
        } else if (kind == "panic") {
            throw 42;
        } else {
            throw Broken("no step " + kind);
        }
    }

    json id_, steps_;
    std::atomic<int> calls_{0};
};

ksem::Guarantee guarantee(const json &request) { return ksem::parse_guarantee(request.at("guarantee")); }

json open(const json &request) {
    const auto pipeline = [&] {
        if (request.contains("config_file")) return ksem::Pipeline::open_file(request["config_file"]);
        if (request.contains("config_text")) return ksem::Pipeline::open_json(request["config_text"]);
        return ksem::Pipeline::open_json(request.at("config").dump());
    };
    const auto opened = std::make_shared<ksem::Pipeline>(pipeline());
    pipes.set(request.at("pipe"), opened);
    return {{"instance_id", opened->instance_id()}};
}

json poll(const json &request) {
    const auto timeout = std::chrono::milliseconds(request.at("timeout_ms").get<std::int64_t>());
    auto batch = pipes.get(request.at("pipe"))->poll(timeout);
    if (!batch) return {{"records", 0}};
    const auto kept = std::make_shared<ksem::Batch>(std::move(*batch));
    batches.set(request.at("batch"), kept);
    json reply = {{"records", kept->size()}};
    if (request.value("columns", false)) columns(*kept, reply);
    return reply;
}

json broker(const json &request) {
    const auto started = std::make_shared<ksem::testing::Broker>();
    for (const json &topic : request.value("topics", json::array())) started->create_topic(topic.at(0), topic.at(1));
    brokers.set(request.at("broker"), started);
    return {{"bootstrap", started->bootstrap()}};
}

json publish(const json &request) {
    ksem::Output records;
    send(request.at("records"), records);
    return {{"records", pipes.get(request.at("pipe"))->publish(records, guarantee(request))}};
}

json serve(const json &request) {
    const std::string verb = request.at("do");
    const auto pipe = [&] { return pipes.get(request.at("pipe")); };
    const auto batch = [&] { return batches.get(request.at("batch")); };
    const auto attempt = [&] { return attempts.get(request.at("attempt")); };
    if (verb == "hello") return {{"language", "cpp"}, {"version", ksem::version()}, {"protocol", 1}};
    if (verb == "errors") return error_table();
    if (verb == "open") return open(request);
    if (verb == "poll") return poll(request);
    if (verb == "process") return report(pipe()->process(*batch(), guarantee(request), Script(request)));
    if (verb == "commit") return report(attempt()->commit());
    if (verb == "abort") return report(attempt()->abort(request.at("reason")));
    if (verb == "publish") return publish(request);
    if (verb == "metrics") return pipe()->metrics();
    if (verb == "broker") return broker(request);
    if (verb == "drop") {
        *batch() = ksem::Batch(nullptr);
    } else if (verb == "run") {
        pipe()->run(Script(request));
    } else if (verb == "begin") {
        attempts.set(request.at("attempt"), std::make_shared<ksem::Attempt>(pipe()->begin(*batch(), guarantee(request))));
    } else if (verb == "send") {
        send(request.at("records"), attempt()->output());
    } else if (verb == "forward") {
        attempt()->output().forward_all(request.at("topic").get<std::string>().c_str());
    } else if (verb == "stop") {
        pipe()->stop();
    } else if (verb == "close") {
        pipe()->close();
    } else if (verb == "broker_stop") {
        brokers.set(request.at("broker"), nullptr);
    } else if (verb == "resume") {
        std::lock_guard<std::mutex> lock(resuming);
        resumes.insert(request.at("at").get<std::string>());
        resumed.notify_all();
    } else {
        throw Broken("no verb " + verb);
    }
    return json::object();
}

/// ksem's error behind an exception of the handler's own.
json behind(const json &thrown) {
    const auto &error = ksem::handler_error();
    return error ? driver::error(*error, thrown) : json();
}

json reply(const json &request) {
    const json id = request.value("id", json());
    try {
        return {{"id", id}, {"ok", serve(request)}};
    } catch (const ksem::Error &error) {
        return {{"id", id}, {"error", driver::error(error)}};
    } catch (const Thrown &thrown) {
        return {{"id", id}, {"error", behind(thrown.what())}};
    } catch (int) {
        return {{"id", id}, {"error", behind(nullptr)}};
    } catch (const std::exception &broken) {
        return {{"id", id}, {"broken", broken.what()}};
    }
}

}  // namespace driver

int main() {
    for (std::string line; std::getline(std::cin, line);) {
        driver::json request = driver::json::parse(line);
        if (request.value("do", "") == "exit") {
            driver::say({{"id", request.value("id", driver::json())}, {"ok", driver::json::object()}});
            break;
        }
        std::thread([request = std::move(request)] { driver::say(driver::reply(request)); }).detach();
    }
    // Without closing what is open.
    std::_Exit(0);
}
