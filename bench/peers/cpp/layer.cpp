// Copies a topic with ksem.hpp, as the program in Rust does: nothing is copied in the handler.
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <ksem.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

using Clock = std::chrono::steady_clock;

int main(int argc, char **argv) try {
    const auto job = nlohmann::json::parse(argv[argc - 1]);
    const auto text = [](const nlohmann::json &value) { return value.get<std::string>(); };
    const std::string output = text(job["output"]);
    const auto records = job["records"].get<std::uint64_t>();
    const auto &contestant = job["contestant"];
    const auto pipeline = ksem::Pipeline::open_toml(
        "group = '" + text(job["group"]) + "'\ninputs = ['" + text(job["input"]) + "']\nguarantee = '" +
        text(contestant["guarantee"]) + "'\n[commit]\nmax_records = " +
        std::to_string(contestant["cadence"]["records"].get<std::uint64_t>()) + "\n[kafka]\n'bootstrap.servers' = '" +
        text(job["bootstrap"]) + "'\n");
    Clock::time_point first, last;
    std::chrono::microseconds first_unix{0};
    // `run` returns a moment after the last commit.
    std::thread watch([&] {
        while (pipeline.metrics()["records_in"] < records) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        last = Clock::now();
        pipeline.stop();
    });
    pipeline.run([&](const ksem::BatchView &, ksem::Output &out) {
        if (first == Clock::time_point()) {
            first = Clock::now();
            first_unix = std::chrono::duration_cast<std::chrono::microseconds>(
                std::chrono::system_clock::now().time_since_epoch());
        }
        out.forward_all(output.c_str());
    });
    watch.join();
    const auto metrics = pipeline.metrics();
    pipeline.close();
    const nlohmann::json done = {{"first_unix_us", first_unix.count()},
                                 {"elapsed_s", std::chrono::duration<double>(last - first).count()},
                                 {"retried", metrics.at("batches_retried") + metrics.at("transactions_aborted")}};
    std::cout << done << std::endl;
    // The bench reads what this process has used, then ends its standard input.
    while (std::getchar() != EOF) {
    }
} catch (const std::exception &error) {
    std::cerr << error.what() << "\n";
    return 1;
}
