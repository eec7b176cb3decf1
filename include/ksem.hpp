// ksem in C++17: RAII, exceptions, lambdas and ranges over ksem.h. Header-only; link libksem.
//
//     auto pipeline = ksem::Pipeline::open_file("pipeline.toml");
//     pipeline.run([](const ksem::BatchView &orders, ksem::Output &out) {
//         for (const ksem::Record &order : orders) out.send("invoices", order.key(), order.value());
//         out.forward_all("analytics");
//     });
//
// * Views (Bytes, Record, Span, BatchView) live as long as the batch that they come from; in a handler, until it returns.
// * A handler that throws fails its batch, which is tried again as [retry] of the configuration says. When the attempts are
//   used up, the exception object itself is thrown to the caller of `process` or `run`, and ksem::handler_error() has what ksem
//   says about it. Everything else is a ksem::Error.
// * A Pipeline may be used by several threads at once, any other object by one at a time.
#ifndef KSEM_HPP
#define KSEM_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "ksem.h"

namespace ksem {

/// What is promised about each record.
enum class Guarantee : ksem_guarantee {
    at_most_once = KSEM_AT_MOST_ONCE,
    at_least_once = KSEM_AT_LEAST_ONCE,
    exactly_once = KSEM_EXACTLY_ONCE,
};

/// When a run ends by itself.
enum class Until : ksem_until { stopped = KSEM_UNTIL_STOPPED, caught_up = KSEM_UNTIL_CAUGHT_UP };

/// What became of a batch.
enum class Applied : ksem_applied { applied = KSEM_APPLIED, lost = KSEM_LOST, redelivered = KSEM_REDELIVERED };

/// An error of ksem: `what()` is one line with code, message and context.
class Error : public std::runtime_error {
public:
    explicit Error(const ksem_error *error)
        : std::runtime_error(ksem_error_text(error)),
          code_(ksem_error_status(error)),
          name_(ksem_error_name(error)),
          class_(ksem_error_class(error)),
          retry_(ksem_error_retry(error)),
          outcome_(ksem_error_outcome(error)),
          message_(ksem_error_message(error)) {
        for (std::size_t i = 0; i < ksem_error_context_len(error); ++i) {
            context_.emplace_back(ksem_error_context_name(error, i), ksem_error_context_value(error, i));
        }
    }

    Error(ksem_status code, const std::string &message)
        : std::runtime_error(message),
          code_(code),
          name_(ksem_code_name(code)),
          class_(ksem_code_class(code)),
          retry_(ksem_code_retry(code)),
          outcome_(ksem_code_outcome(code)),
          message_(message) {}

    /// The code, such as KSEM_PRODUCER_FENCED.
    ksem_status code() const noexcept { return code_; }
    /// The code's name, such as "producer_fenced".
    const char *name() const noexcept { return name_; }
    /// Which part has to change: "config", "unavailable", "transaction", "handler", "data" or "internal".
    const char *error_class() const noexcept { return class_; }
    /// What to do: "never", "retry" or "reopen".
    const char *retry() const noexcept { return retry_; }
    /// What became of the batch: "not_applied", "applied" or "unknown".
    const char *outcome() const noexcept { return outcome_; }
    /// What happened, without code and context.
    const std::string &message() const noexcept { return message_; }
    /// Facts, in order.
    const std::vector<std::pair<std::string, std::string>> &context() const noexcept { return context_; }

private:
    ksem_status code_;
    // Words of the library, which live as long as the process.
    const char *name_, *class_, *retry_, *outcome_;
    std::string message_;
    std::vector<std::pair<std::string, std::string>> context_;
};

namespace detail {

template <class T, void (*free)(T *)>
struct Free {
    void operator()(T *handle) const noexcept { free(handle); }
};
template <class T, void (*free)(T *)>
using Handle = std::unique_ptr<T, Free<T, free>>;

/// What ksem said about the handler's exception that was thrown to this thread last.
inline std::optional<Error> &behind() {
    static thread_local std::optional<Error> error;
    return error;
}

inline void drop_exception(void *payload) { delete static_cast<std::exception_ptr *>(payload); }

/// Throws what a failed call left: the handler's own exception, or an Error. By reference, because the call that sets `error` may
/// be evaluated behind it.
inline void check(ksem_status status, ksem_error *&error) {
    if (status == KSEM_OK) return;
    Handle<ksem_error, ksem_error_free> owned(error);
    if (void *payload = ksem_error_payload(error, drop_exception)) {
        std::exception_ptr thrown = *static_cast<std::exception_ptr *>(payload);
        behind().emplace(error);
        owned.reset();
        std::rethrow_exception(std::move(thrown));
    }
    throw Error(error);
}

/// Throws for a call of an output that was made wrongly; in a handler, that fails the batch.
inline void check_output(const ksem_output *output, ksem_status status) {
    if (status == KSEM_OK) return;
    const char *wrong = ksem_output_wrong(output);
    throw Error(status, wrong ? wrong : "the output is NULL");
}

inline std::uint64_t milliseconds(std::chrono::milliseconds timeout) {
    return timeout.count() > 0 ? static_cast<std::uint64_t>(timeout.count()) : 0;
}

}  // namespace detail

/// Where `process` or `run` has thrown a handler's own exception: what ksem says about it, such as the attempts that were made
/// and what became of the batch. The last one of this thread; nothing if there was none.
inline const std::optional<Error> &handler_error() { return detail::behind(); }

/// A view on bytes; null (of a value: a tombstone) is not the same as empty.
class Bytes {
public:
    constexpr Bytes(std::nullptr_t = nullptr) noexcept : raw_{nullptr, 0} {}
    constexpr Bytes(ksem_bytes raw) noexcept : raw_(raw) {}
    constexpr Bytes(const void *data, std::size_t size) noexcept : raw_{data, size} {}
    /// An empty text is empty bytes, never null.
    constexpr Bytes(std::string_view text) noexcept : raw_{text.data() ? text.data() : "", text.size()} {}
    Bytes(const std::string &text) noexcept : Bytes(std::string_view(text)) {}
    constexpr Bytes(const char *text) noexcept : Bytes(text ? Bytes(std::string_view(text)) : Bytes()) {}
    template <class T>
    constexpr Bytes(const std::optional<T> &bytes) noexcept : Bytes(bytes ? Bytes(*bytes) : Bytes()) {}

    constexpr bool is_null() const noexcept { return raw_.data == nullptr; }
    constexpr explicit operator bool() const noexcept { return !is_null(); }
    constexpr std::size_t size() const noexcept { return raw_.len; }
    constexpr bool empty() const noexcept { return raw_.len == 0; }
    const char *data() const noexcept { return static_cast<const char *>(raw_.data); }
    const char *begin() const noexcept { return data(); }
    const char *end() const noexcept { return data() + raw_.len; }
    /// The bytes as a text; empty for null.
    std::string_view view() const noexcept { return is_null() ? std::string_view() : std::string_view(data(), raw_.len); }
    /// A copy.
    std::string string() const { return std::string(view()); }
    constexpr const ksem_bytes &raw() const noexcept { return raw_; }

    friend bool operator==(const Bytes &a, const Bytes &b) noexcept {
        return a.is_null() == b.is_null() && a.view() == b.view();
    }
    friend bool operator!=(const Bytes &a, const Bytes &b) noexcept { return !(a == b); }

private:
    ksem_bytes raw_;
};

// An array of one is an array of the other: columns are handed on without a copy.
static_assert(sizeof(Bytes) == sizeof(ksem_bytes) && std::is_standard_layout<Bytes>::value, "Bytes is ksem_bytes");

/// A view on an array.
template <class T>
class Span {
public:
    constexpr Span() noexcept = default;
    constexpr Span(const T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class C, class = decltype(std::declval<const C &>().data(), std::declval<const C &>().size())>
    constexpr Span(const C &items) noexcept : data_(items.data()), size_(items.size()) {}

    constexpr const T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr const T *begin() const noexcept { return data_; }
    constexpr const T *end() const noexcept { return data_ + size_; }
    constexpr const T &operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    const T *data_ = nullptr;
    std::size_t size_ = 0;
};

/// One header. Names may repeat; a value may be null.
class Header {
public:
    Header(const char *name, Bytes value) noexcept : raw_{name, value.raw()} {}

    std::string_view name() const noexcept { return raw_.name; }
    Bytes value() const noexcept { return raw_.value; }

private:
    ksem_header raw_;
};

static_assert(sizeof(Header) == sizeof(ksem_header) && std::is_standard_layout<Header>::value, "Header is ksem_header");

/// An input record: views on memory of the batch.
class Record {
public:
    Record(const ksem_batch *batch, const ksem_record *raw, std::size_t index) noexcept
        : batch_(batch), raw_(raw), index_(index) {}

    std::string_view topic() const noexcept { return raw_->topic; }
    std::int32_t partition() const noexcept { return raw_->partition; }
    std::int64_t offset() const noexcept { return raw_->offset; }
    /// Milliseconds since 1970.
    std::optional<std::int64_t> timestamp() const noexcept {
        if (raw_->timestamp == KSEM_NO_TIMESTAMP) return std::nullopt;
        return raw_->timestamp;
    }
    Bytes key() const noexcept { return raw_->key; }
    Bytes value() const noexcept { return raw_->value; }
    /// All headers, in order.
    Span<Header> headers() const noexcept {
        const ksem_headers all = ksem_batch_headers(batch_, index_);
        return {reinterpret_cast<const Header *>(all.items), all.len};
    }
    /// The last value of a header, as Kafka's own `lastHeader` gives; nothing if there is no such header.
    std::optional<Bytes> header(std::string_view name) const noexcept {
        std::optional<Bytes> last;
        for (const Header &header : headers()) {
            if (header.name() == name) last = header.value();
        }
        return last;
    }
    /// Where it is in its batch, for `Output::forward`.
    std::size_t index() const noexcept { return index_; }

private:
    const ksem_batch *batch_;
    const ksem_record *raw_;
    std::size_t index_;
};

/// The records of a batch, a column for each part.
struct Columns {
    Span<const char *> topics;
    Span<std::int32_t> partitions;
    Span<std::int64_t> offsets;
    /// Milliseconds since 1970, or KSEM_NO_TIMESTAMP.
    Span<std::int64_t> timestamps;
    Span<Bytes> keys;
    Span<Bytes> values;
};

/// A view on a batch: a range of records, and its columns.
class BatchView {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = Record;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = Record;

        iterator(const BatchView *batch, std::size_t index) noexcept : batch_(batch), index_(index) {}
        Record operator*() const noexcept { return (*batch_)[index_]; }
        iterator &operator++() noexcept { return ++index_, *this; }
        iterator operator++(int) noexcept {
            iterator old = *this;
            ++index_;
            return old;
        }
        friend bool operator==(const iterator &a, const iterator &b) noexcept { return a.index_ == b.index_; }
        friend bool operator!=(const iterator &a, const iterator &b) noexcept { return a.index_ != b.index_; }

    private:
        const BatchView *batch_;
        std::size_t index_;
    };

    explicit BatchView(const ksem_batch *raw) noexcept : raw_(raw), records_(ksem_batch_records(raw)) {}

    std::size_t size() const noexcept { return records_.len; }
    /// The size of all keys and values in bytes.
    std::size_t bytes() const noexcept { return ksem_batch_bytes(raw_); }
    std::size_t lane() const noexcept { return ksem_batch_lane(raw_); }
    Record operator[](std::size_t index) const noexcept { return {raw_, &records_.items[index], index}; }
    iterator begin() const noexcept { return {this, 0}; }
    iterator end() const noexcept { return {this, size()}; }
    Columns columns() const noexcept {
        const ksem_columns all = ksem_batch_columns(raw_);
        return {{all.topics, all.len},
                {all.partitions, all.len},
                {all.offsets, all.len},
                {all.timestamps, all.len},
                {reinterpret_cast<const Bytes *>(all.keys), all.len},
                {reinterpret_cast<const Bytes *>(all.values), all.len}};
    }
    const ksem_batch *raw() const noexcept { return raw_; }

protected:
    const ksem_batch *raw_;
    ksem_records records_;
};

/// A batch of one's own. One that is destroyed without having been processed is delivered again.
class Batch : public BatchView {
public:
    explicit Batch(ksem_batch *raw) noexcept : BatchView(raw), owned_(raw) {}
    Batch(Batch &&other) noexcept : BatchView(other), owned_(std::move(other.owned_)) { other.leave(); }
    Batch &operator=(Batch &&other) noexcept {
        if (this != &other) {
            static_cast<BatchView &>(*this) = other;
            owned_ = std::move(other.owned_);
            other.leave();
        }
        return *this;
    }

private:
    /// What was moved from is empty, and fails as NULL does.
    void leave() noexcept {
        raw_ = nullptr;
        records_ = {};
    }

    detail::Handle<ksem_batch, ksem_batch_free> owned_;
};

/// What can be said about a record to send, besides topic, key and value.
struct Extras {
    Span<Header> headers;
    /// Without one, the key decides as the Java client does.
    std::optional<std::int32_t> partition;
    /// Milliseconds since 1970; without one it is the time of sending.
    std::optional<std::int64_t> timestamp;
};

/// Records to send; everything is copied.
class Output {
public:
    /// An output for `Pipeline::publish`.
    Output() : owned_(ksem_output_new()), raw_(owned_.get()) {
        if (!raw_) throw std::bad_alloc();
    }
    /// A handler's, or an attempt's.
    explicit Output(ksem_output *borrowed) noexcept : raw_(borrowed) {}

    void send(const char *topic, Bytes key, Bytes value) {
        detail::check_output(raw_, ksem_output_send(raw_, topic, key.raw(), value.raw()));
    }
    void send(const std::string &topic, Bytes key, Bytes value) { send(topic.c_str(), key, value); }
    void send(const char *topic, Bytes key, Bytes value, const Extras &extras) {
        ksem_output_record record = {};
        record.key = key.raw();
        record.value = value.raw();
        record.headers = reinterpret_cast<const ksem_header *>(extras.headers.data());
        record.header_count = extras.headers.size();
        record.partition = extras.partition ? &*extras.partition : nullptr;
        record.timestamp = extras.timestamp ? &*extras.timestamp : nullptr;
        detail::check_output(raw_, ksem_output_send_record(raw_, topic, &record));
    }
    void send(const std::string &topic, Bytes key, Bytes value, const Extras &extras) {
        send(topic.c_str(), key, value, extras);
    }
    /// Sends many values, with null keys.
    void send_many(const char *topic, Span<Bytes> values) {
        const ksem_bytes *raw = reinterpret_cast<const ksem_bytes *>(values.data());
        detail::check_output(raw_, ksem_output_send_many(raw_, topic, nullptr, raw, values.size()));
    }
    /// Sends many pairs; there has to be a key for each value.
    void send_many(const char *topic, Span<Bytes> keys, Span<Bytes> values) {
        if (keys.size() != values.size()) throw Error(KSEM_MISUSE, "there are not as many keys as values");
        const ksem_bytes *raw_keys = reinterpret_cast<const ksem_bytes *>(keys.data());
        const ksem_bytes *raw_values = reinterpret_cast<const ksem_bytes *>(values.data());
        detail::check_output(raw_, ksem_output_send_many(raw_, topic, raw_keys, raw_values, values.size()));
    }
    /// Sends record `index` of the batch as it is.
    void forward(const char *topic, std::size_t index) { detail::check_output(raw_, ksem_output_forward(raw_, topic, index)); }
    void forward(const char *topic, const Record &record) { forward(topic, record.index()); }
    /// Sends every record of the batch as it is.
    void forward_all(const char *topic) { detail::check_output(raw_, ksem_output_forward_all(raw_, topic)); }

    /// Has a record of the batch handled again: nothing of the batch is applied, and it is split around the record. When
    /// retry.max_attempts is used up, the record becomes a dead letter. Under at-most-once it is counted as lost.
    void retry(std::size_t index) { detail::check_output(raw_, ksem_output_retry(raw_, index)); }
    void retry(const Record &record) { retry(record.index()); }
    /// Sets a record aside: it goes to dead_letter.topic together with what the batch sends.
    void dead_letter(std::size_t index, const std::string &reason) {
        detail::check_output(raw_, ksem_output_dead_letter(raw_, index, reason.c_str()));
    }
    void dead_letter(const Record &record, const std::string &reason) { dead_letter(record.index(), reason); }
    /// Has a record counted as done although nothing comes of it.
    void skip(std::size_t index) { detail::check_output(raw_, ksem_output_skip(raw_, index)); }
    void skip(const Record &record) { skip(record.index()); }

    std::size_t size() const noexcept { return ksem_output_len(raw_); }
    void clear() noexcept { ksem_output_clear(raw_); }
    ksem_output *raw() const noexcept { return raw_; }

private:
    detail::Handle<ksem_output, ksem_output_free> owned_;
    ksem_output *raw_;
};

/// A position that was committed.
struct Position {
    std::string topic;
    std::int32_t partition;
    /// Last processed + 1.
    std::int64_t offset;
    std::int32_t leader_epoch;
};

/// What became of a batch.
struct Report {
    Applied applied;
    Guarantee guarantee;
    std::size_t records;
    std::uint64_t outputs;
    /// Set aside in the dead-letter topic.
    std::uint64_t dead_lettered;
    /// Skipped by a verdict.
    std::uint64_t skipped;
    /// Given to the handler again because it had failed, each time counted.
    std::uint64_t retried;
    std::uint32_t attempts;
    std::chrono::microseconds took;
    std::vector<Position> offsets;
    /// Why it was lost or not applied.
    std::optional<std::string> cause;

    explicit Report(const ksem_report *raw)
        : applied(static_cast<Applied>(ksem_report_applied(raw))),
          guarantee(static_cast<Guarantee>(ksem_report_guarantee(raw))),
          records(ksem_report_records(raw)),
          outputs(ksem_report_outputs(raw)),
          dead_lettered(ksem_report_dead_lettered(raw)),
          skipped(ksem_report_skipped(raw)),
          retried(ksem_report_retried(raw)),
          attempts(ksem_report_attempts(raw)),
          took(ksem_report_took_us(raw)) {
        const ksem_positions all = ksem_report_offsets(raw);
        for (std::size_t i = 0; i < all.len; ++i) {
            const ksem_position &at = all.items[i];
            offsets.push_back({at.topic, at.partition, at.offset, at.leader_epoch});
        }
        if (const char *text = ksem_report_cause(raw)) cause = text;
    }
};

namespace detail {

using OwnedReport = Handle<ksem_report, ksem_report_free>;

/// A handler for C around a callable: an exception becomes a failure that carries it.
template <class F>
ksem_status call(const ksem_batch *batch, ksem_output *output, void *user) noexcept {
    const auto fail = [output](const char *message) {
        return ksem_output_fail_with(output, message, new std::exception_ptr(std::current_exception()), drop_exception);
    };
    try {
        Output out(output);
        (*static_cast<F *>(user))(BatchView(batch), out);
        return KSEM_OK;
    } catch (const std::exception &error) {
        return fail(error.what());
    } catch (...) {
        return fail("the handler threw something that is no std::exception");
    }
}

}  // namespace detail

/// A batch between begin and commit. Destroyed without a commit, it is aborted.
class Attempt {
public:
    explicit Attempt(ksem_attempt *raw)
        : owned_(raw), batch_(ksem_attempt_batch(raw)), output_(ksem_attempt_output(raw)) {}

    const BatchView &batch() const noexcept { return batch_; }
    Output &output() noexcept { return output_; }

    Report commit() {
        ksem_error *error = nullptr;
        ksem_report *report = nullptr;
        detail::check(ksem_attempt_commit(owned_.get(), &report, &error), error);
        return Report(detail::OwnedReport(report).get());
    }
    Report abort(const std::string &reason = "aborted by the caller") {
        ksem_error *error = nullptr;
        ksem_report *report = nullptr;
        detail::check(ksem_attempt_abort(owned_.get(), reason.c_str(), &report, &error), error);
        return Report(detail::OwnedReport(report).get());
    }

private:
    detail::Handle<ksem_attempt, ksem_attempt_free> owned_;
    BatchView batch_;
    Output output_;
};

/// An open pipeline: one member of the consumer group. Destroyed, it is closed.
class Pipeline {
public:
    /// Opens a pipeline with the configuration in a TOML file.
    static Pipeline open_file(const std::string &path) { return Pipeline(ksem_pipeline_open_file, path); }
    /// The same, with the configuration as TOML text.
    static Pipeline open_toml(const std::string &text) { return Pipeline(ksem_pipeline_open_toml, text); }
    /// The same, with the configuration as JSON text.
    static Pipeline open_json(const std::string &text) { return Pipeline(ksem_pipeline_open_json, text); }

    /// Returns the next batch, or nothing if none came in time, or if the pipeline is stopped.
    std::optional<Batch> poll(std::chrono::milliseconds timeout) const {
        ksem_error *error = nullptr;
        ksem_batch *batch = nullptr;
        detail::check(ksem_pipeline_poll(raw(), detail::milliseconds(timeout), &batch, &error), error);
        if (!batch) return std::nullopt;
        return std::optional<Batch>(std::in_place, batch);
    }

    /// Processes a batch: `handler(const BatchView &, Output &)` is called on this thread. The batch can be read afterwards,
    /// and not be processed again.
    template <class F>
    Report process(const Batch &batch, Guarantee guarantee, F &&handler) const {
        using Callable = std::remove_reference_t<F>;
        return process(batch, guarantee, detail::call<Callable>, const_cast<void *>(static_cast<const void *>(&handler)));
    }
    /// Processes a batch with the configuration's routes.
    Report process(const Batch &batch, Guarantee guarantee) const { return process(batch, guarantee, nullptr, nullptr); }

    /// Polls and processes with several batches in flight, until it is stopped or fails. The handler runs on this thread.
    template <class F, class = std::enable_if_t<!std::is_same<std::decay_t<F>, Until>::value>>
    void run(F &&handler, Until until = Until::stopped) const {
        using Callable = std::remove_reference_t<F>;
        run(until, detail::call<Callable>, const_cast<void *>(static_cast<const void *>(&handler)));
    }
    /// The same with the configuration's routes.
    void run(Until until = Until::stopped) const { run(until, nullptr, nullptr); }

    /// Begins an attempt at a batch, for callers with their own control flow.
    Attempt begin(const Batch &batch, Guarantee guarantee) const {
        ksem_error *error = nullptr;
        ksem_attempt *attempt = nullptr;
        const auto number = static_cast<ksem_guarantee>(guarantee);
        detail::check(ksem_pipeline_begin(raw(), batch.raw(), number, &attempt, &error), error);
        return Attempt(attempt);
    }

    /// Sends records whose input is not Kafka, and returns how many were acknowledged.
    std::uint64_t publish(const Output &records, Guarantee guarantee) const {
        ksem_error *error = nullptr;
        std::uint64_t acknowledged = 0;
        const auto number = static_cast<ksem_guarantee>(guarantee);
        detail::check(ksem_pipeline_publish(raw(), records.raw(), number, &acknowledged, &error), error);
        return acknowledged;
    }

    /// Asks the pipeline to end. Any thread may call it, and so may a signal handler.
    void stop() const noexcept { ksem_pipeline_stop(raw()); }

    /// Leaves the group and closes the clients; the destructor does it too, and tells nobody of an error.
    void close() const {
        ksem_error *error = nullptr;
        detail::check(ksem_pipeline_close(raw(), &error), error);
    }

    std::string instance_id() const { return ksem_pipeline_instance_id(raw()); }

    /// The counters, by their names.
    std::map<std::string, std::uint64_t> metrics() const {
        ksem_error *error = nullptr;
        ksem_metrics *metrics = nullptr;
        detail::check(ksem_pipeline_metrics(raw(), &metrics, &error), error);
        detail::Handle<ksem_metrics, ksem_metrics_free> owned(metrics);
        std::map<std::string, std::uint64_t> all;
        for (std::size_t i = 0; i < ksem_metrics_len(metrics); ++i) {
            all.emplace(ksem_metrics_name(metrics, i), ksem_metrics_value(metrics, i));
        }
        return all;
    }

    ksem_pipeline *raw() const noexcept { return owned_.get(); }

private:
    template <class Open>
    Pipeline(Open open, const std::string &argument) {
        ksem_error *error = nullptr;
        ksem_pipeline *pipeline = nullptr;
        detail::check(open(argument.c_str(), &pipeline, &error), error);
        owned_.reset(pipeline);
    }

    Report process(const Batch &batch, Guarantee guarantee, ksem_handler handler, void *user) const {
        ksem_error *error = nullptr;
        ksem_report *report = nullptr;
        const auto number = static_cast<ksem_guarantee>(guarantee);
        detail::check(ksem_pipeline_process(raw(), batch.raw(), number, handler, user, &report, &error), error);
        return Report(detail::OwnedReport(report).get());
    }

    void run(Until until, ksem_handler handler, void *user) const {
        ksem_error *error = nullptr;
        detail::check(ksem_pipeline_run(raw(), static_cast<ksem_until>(until), handler, user, &error), error);
    }

    detail::Handle<ksem_pipeline, ksem_pipeline_free> owned_;
};

/// The version of the library; KSEM_VERSION is what the program was compiled with.
inline std::string version() { return ksem_version(); }

/// Reads a guarantee's name, such as "exactly_once".
inline Guarantee parse_guarantee(const std::string &name) {
    ksem_error *error = nullptr;
    ksem_guarantee guarantee = KSEM_AT_LEAST_ONCE;
    detail::check(ksem_guarantee_parse(name.c_str(), &guarantee, &error), error);
    return static_cast<Guarantee>(guarantee);
}

namespace testing {

/// A Kafka broker inside this process, in memory, for tests.
class Broker {
public:
    /// Listens at "host:port"; port 0 is a free one.
    explicit Broker(const std::string &listen = "127.0.0.1:0") {
        ksem_error *error = nullptr;
        ksem_broker *broker = nullptr;
        detail::check(ksem_broker_start(listen.c_str(), &broker, &error), error);
        owned_.reset(broker);
    }

    /// What to set as `bootstrap.servers`.
    std::string bootstrap() const { return ksem_broker_bootstrap(owned_.get()); }
    void create_topic(const std::string &topic, std::int32_t partitions = 1) {
        ksem_error *error = nullptr;
        detail::check(ksem_broker_create_topic(owned_.get(), topic.c_str(), partitions, &error), error);
    }
    /// The offset that the next record of a partition gets; -1 if there is no such partition.
    std::int64_t end_offset(const std::string &topic, std::int32_t partition) const noexcept {
        return ksem_broker_end_offset(owned_.get(), topic.c_str(), partition);
    }
    /// The offset that a group has committed; -1 if it has none.
    std::int64_t committed_offset(const std::string &group, const std::string &topic, std::int32_t partition) const {
        return ksem_broker_committed_offset(owned_.get(), group.c_str(), topic.c_str(), partition);
    }
    ksem_broker *raw() const noexcept { return owned_.get(); }

private:
    detail::Handle<ksem_broker, ksem_broker_free> owned_;
};

}  // namespace testing
}  // namespace ksem

#endif
