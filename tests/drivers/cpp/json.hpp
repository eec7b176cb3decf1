// The protocol's forms of ksem's values.
#pragma once

#include <ksem.hpp>
#include <nlohmann/json.hpp>
#include <string>

namespace driver {

using nlohmann::json;

/// A bug of the driver's own, or of its request.
struct Broken : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline std::optional<std::string> decoded(const json &value) {
    if (!value.is_string()) return std::nullopt;
    std::string bytes;
    unsigned buffer = 0;
    int bits = 0;
    for (const char c : value.get<std::string>()) {
        static const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const auto digit = digits.find(c);
        if (digit == std::string::npos) break;
        buffer = buffer << 6 | static_cast<unsigned>(digit);
        bits += 6;
        if (bits >= 8) bytes.push_back(static_cast<char>(buffer >> (bits -= 8) & 0xff));
    }
    return bytes;
}

inline json encoded(ksem::Bytes bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (bytes.is_null()) return nullptr;
    std::string text;
    unsigned buffer = 0;
    int bits = 0;
    for (const char c : bytes) {
        buffer = buffer << 8 | static_cast<unsigned char>(c);
        for (bits += 8; bits >= 6;) text.push_back(digits[buffer >> (bits -= 6) & 0x3f]);
    }
    if (bits > 0) text.push_back(digits[buffer << (6 - bits) & 0x3f]);
    while (text.size() % 4 != 0) text.push_back('=');
    return text;
}

/// Sends each record of a list.
inline void send(const json &records, ksem::Output &out) {
    for (const json &record : records) {
        const auto key = decoded(record.value("key", json()));
        auto value = decoded(record.value("value", json()));
        if (record.contains("fill")) value = std::string(record["fill"].get<std::size_t>(), 'x');
        std::vector<std::pair<std::string, std::optional<std::string>>> kept;
        for (const json &header : record.value("headers", json::array())) {
            kept.emplace_back(header.at(0), decoded(header.at(1)));
        }
        std::vector<ksem::Header> headers;
        for (const auto &[name, bytes] : kept) headers.emplace_back(name.c_str(), bytes);
        ksem::Extras extras{headers, std::nullopt, std::nullopt};
        if (record.contains("partition") && !record["partition"].is_null()) extras.partition = record["partition"];
        if (record.contains("timestamp") && !record["timestamp"].is_null()) extras.timestamp = record["timestamp"];
        out.send(record.at("topic").get<std::string>(), key, value, extras);
    }
}

/// Adds the columns of a batch.
inline void columns(const ksem::BatchView &batch, json &to) {
    const ksem::Columns all = batch.columns();
    to["topics"] = json::array();
    for (const char *topic : all.topics) to["topics"].push_back(topic);
    to["partitions"] = std::vector<std::int32_t>(all.partitions.begin(), all.partitions.end());
    to["offsets"] = std::vector<std::int64_t>(all.offsets.begin(), all.offsets.end());
    to["timestamps"] = json::array();
    for (const std::int64_t time : all.timestamps) {
        to["timestamps"].push_back(time == KSEM_NO_TIMESTAMP ? json() : json(time));
    }
    to["keys"] = to["values"] = to["headers"] = json::array();
    for (const ksem::Bytes &key : all.keys) to["keys"].push_back(encoded(key));
    for (const ksem::Bytes &value : all.values) to["values"].push_back(encoded(value));
    for (const ksem::Record &record : batch) {
        json headers = json::array();
        for (const ksem::Header &header : record.headers()) {
            headers.push_back({std::string(header.name()), encoded(header.value())});
        }
        to["headers"].push_back(std::move(headers));
    }
}

inline json report(const ksem::Report &report) {
    json offsets = json::array();
    for (const ksem::Position &at : report.offsets) offsets.push_back({at.topic, at.partition, at.offset});
    return {{"applied", ksem_applied_name(static_cast<ksem_applied>(report.applied))},
            {"guarantee", ksem_guarantee_name(static_cast<ksem_guarantee>(report.guarantee))},
            {"records", report.records},
            {"outputs", report.outputs},
            {"dead_lettered", report.dead_lettered},
            {"skipped", report.skipped},
            {"retried", report.retried},
            {"attempts", report.attempts},
            {"offsets", std::move(offsets)},
            {"cause", report.cause ? json(*report.cause) : json()}};
}

inline json error(const ksem::Error &error, const json &thrown = nullptr) {
    return {{"code", error.name()},       {"number", error.code()},       {"class", error.error_class()},
            {"retry", error.retry()},     {"outcome", error.outcome()},   {"message", error.message()},
            {"thrown", thrown}};
}

inline json error_table() {
    json all = json::array();
    for (std::size_t i = 0; i < ksem_code_count(); ++i) {
        const ksem_status code = ksem_code_at(i);
        all.push_back({{"code", ksem_code_name(code)},
                       {"number", code},
                       {"class", ksem_code_class(code)},
                       {"retry", ksem_code_retry(code)},
                       {"outcome", ksem_code_outcome(code)}});
    }
    return {{"errors", std::move(all)}};
}

}  // namespace driver
