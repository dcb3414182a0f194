/* LSIO for C++17 and later, over lsio.h, which is the manual: what it says of calls, threads and ownership holds
 * here. Header only. An object owns one reference, or one handle, and gives it back as it goes; it can be moved,
 * not copied (share() makes another reference). What fails throws lsio::error; no destructor does. Structs of
 * options are those of C, from lsio::make.
 *
 *   lsio::context context;
 *   lsio::queue queue(context);
 *   auto options = lsio::make<lsio_job_options>();
 *   options.flags = LSIO_JOB_STREAM;
 *   lsio::job job = queue.submit(script_text, options);
 *   queue.until_done(job, [](const lsio::event &e) {
 *     for (lsio::result r : e.results()) use(r.step(), r.as<float>());
 *   });
 */
#ifndef LSIO_HPP
#define LSIO_HPP

#include <lsio.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if __cplusplus >= 202002L
#include <span>
namespace lsio {
template <class T>
using span = std::span<T>;
#else
namespace lsio {
/* What is needed of std::span, before C++20. */
template <class T>
struct span {
  T *first;
  std::size_t n;
  T *data() const noexcept { return first; }
  std::size_t size() const noexcept { return n; }
  T *begin() const noexcept { return first; }
  T *end() const noexcept { return first + n; }
  T &operator[](std::size_t i) const noexcept { return first[i]; }
};
#endif

/* What went wrong. Copies share one lsio_error, which never changes. */
class error : public std::exception {
 public:
  /* Takes `e` over; NULL: only the code is known. */
  error(int code, lsio_error *e) : code_(code), e_(e, lsio_error_free) {}
  /* A copy of one that belongs to something else. */
  explicit error(const lsio_error *e) : error(lsio_error_code(e), lsio_error_dup(e)) {}

  const char *what() const noexcept override { return e_ ? lsio_error_message(get()) : lsio_strerror(code_); }
  int code() const noexcept { return code_; } /* enum lsio_err */
  lsio_kind kind() const noexcept { return e_ ? static_cast<lsio_kind>(lsio_error_kind(get())) : LSIO_KIND_OTHER; }
  bool is_retryable() const noexcept { return e_ && lsio_error_is_retryable(get()); }
  /* Where in the job's script; "" and 0: nowhere there. */
  const char *file() const noexcept { return e_ ? lsio_error_file(get()) : ""; }
  int line() const noexcept { return e_ ? lsio_error_line(get()) : 0; }
  /* For what else there is to know (lsio/error.h): object, offset, length, step, OS code. May be NULL. */
  const lsio_error *get() const noexcept { return e_.get(); }

 private:
  int code_;
  std::shared_ptr<const lsio_error> e_;
};

/* A struct of C's with its struct_size set, else zero. */
template <class T>
T make() noexcept {
  T t{};
  t.struct_size = sizeof t;
  return t;
}

namespace detail {

inline void check(int code, lsio_error *e = nullptr) {
  if (code < 0) throw error(code, e);
}

/* What f(p, &struct) fills in. */
template <class T, class F, class P>
T filled(F f, P p) noexcept {
  T t = make<T>();
  f(p, &t);
  return t;
}

/* What f(T **out, lsio_error **error) makes. */
template <class T, class F>
T *made(F f) {
  T *p = nullptr;
  lsio_error *e = nullptr;
  const int code = f(&p, &e);
  check(code, e);
  return p;
}

template <class T, auto Release>
class owner {
 public:
  explicit owner(T *p) noexcept : p_(p) {} /* takes it over */
  T *get() const noexcept { return p_.get(); }

 protected:
  struct call {
    void operator()(T *p) const noexcept { Release(p); }
  };
  std::unique_ptr<T, call> p_;
};

/* For range-based loops: Raw structs, each as an Item. */
template <class Item, class Raw>
struct items {
  struct iterator {
    const Raw *at;
    const char *data;
    Item operator*() const noexcept { return Item(*at, data); }
    iterator &operator++() noexcept { return ++at, *this; }
    bool operator!=(const iterator &o) const noexcept { return at != o.at; }
  };
  iterator first, last;
  iterator begin() const noexcept { return first; }
  iterator end() const noexcept { return last; }
};

} // namespace detail

/* A parameter or a state (lsio/value.h). Never changes; any threads may read it. */
class value : public detail::owner<lsio_value, lsio_value_release> {
 public:
  explicit value(lsio_value *v = lsio_value_nil()) : owner(v) {
    if (!v) throw error(LSIO_ERR_NOMEM, nullptr);
  }
  static value of(bool v) { return value(lsio_value_bool(v)); }
  static value of(int v) { return of(std::int64_t{v}); }
  static value of(std::int64_t v) { return value(lsio_value_int(v)); }
  static value of(std::uint64_t v) { return value(lsio_value_uint(v)); }
  static value of(double v) { return value(lsio_value_double(v)); }
  static value of(const char *v) { return of(std::string_view(v)); }
  static value of(std::string_view v) { return value(lsio_value_bytes(v.data(), v.size())); } /* copied */
  static value list(std::vector<value> from) {
    const auto raw = handed_over(from);
    return made([&](auto out, auto e) { return lsio_value_list(raw.data(), raw.size(), out, e); });
  }
  /* A map of names. LSIO_ERR_USAGE: there are not as many values as names. */
  static value record(const std::vector<const char *> &names, std::vector<value> from) {
    if (names.size() != from.size()) throw error(LSIO_ERR_USAGE, nullptr);
    const auto raw = handed_over(from);
    return made([&](auto o, auto e) { return lsio_value_record(names.data(), raw.data(), raw.size(), o, e); });
  }
  /* An array of `type` ("f64"), not copied: `owner` is kept until nobody reads it any more. */
  template <class Owner>
  static value array(const void *data, const char *type, const std::vector<std::int64_t> &shape, Owner owner) {
    auto source = make<lsio_value_source>();
    source.data = data;
    source.type = type;
    source.ndim = static_cast<std::uint32_t>(shape.size());
    source.shape = shape.data();
    source.release = [](void *p) { delete static_cast<Owner *>(p); };
    source.user = new Owner(std::move(owner));
    return made([&](auto out, auto e) { return lsio_value_array(&source, out, e); });
  }

  value share() const { return value(lsio_value_retain(get())); }
  /* All there is to know of it; pointers belong to it. */
  lsio_value_view view() const noexcept { return detail::filled<lsio_value_view>(lsio_value_get, get()); }
  /* What a name stands for in a map. LSIO_ERR_USAGE: it has none. */
  value find(const char *name) const {
    const lsio_value *found = lsio_value_find(get(), name);
    if (!found) throw error(LSIO_ERR_USAGE, nullptr);
    return value(lsio_value_retain(found));
  }
  /* Of numbers. LSIO_ERR_USAGE: it is none, or none of this type. */
  std::int64_t as_int() const { return as<std::int64_t>(lsio_value_as_int); }
  std::uint64_t as_uint() const { return as<std::uint64_t>(lsio_value_as_uint); }
  double as_double() const { return as<double>(lsio_value_as_double); }

 private:
  template <class F>
  static value made(F f) {
    return value(detail::made<lsio_value>(f));
  }
  template <class T>
  T as(int (*f)(const lsio_value *, T *)) const {
    T out{};
    detail::check(f(get(), &out));
    return out;
  }
  static std::vector<lsio_value *> handed_over(std::vector<value> &from) {
    std::vector<lsio_value *> raw;
    raw.reserve(from.size());
    for (value &v : from) raw.push_back(v.p_.release());
    return raw;
  }
};

/* A script that stays loaded: options.loaded = script.get(). */
using script = detail::owner<lsio_script, lsio_script_release>;

/* What to read, from arrays: options.request = request.get(). */
class request : public detail::owner<lsio_request, lsio_request_release> {
 public:
  explicit request(const lsio_request_options &options)
      : owner(detail::made<lsio_request>([&](auto out, auto e) { return lsio_request_create(&options, out, e); })) {}
};

/* A job of a queue. If it goes while it runs, the job is cancelled and ends by itself. */
class job : public detail::owner<lsio_job, lsio_job_release> {
 public:
  using owner::owner;
  job share() const noexcept { return lsio_job_retain(get()), job(get()); }
  void cancel() const noexcept { lsio_cancel(get()); }
  int status() const noexcept { return lsio_job_status(get()); } /* LSIO_ERR_BUSY: it runs */
  /* Of one without a queue: for its end, for ever or so long, and then check()s it. False: it goes on. */
  bool wait(int timeout_ms = -1) const {
    if (lsio_wait(get(), timeout_ms) == LSIO_ERR_BUSY) return false;
    return check(), true;
  }
  /* Throws what it has ended by, if not well. */
  void check() const {
    if (const lsio_error *e = lsio_job_error(get())) throw error(e);
    detail::check(status());
  }
  lsio_progress progress() const noexcept { return detail::filled<lsio_progress>(lsio_job_progress, get()); }
  /* As JSON; "" before the end. */
  std::string summary() const {
    const char *text = lsio_job_summary_json(get());
    return text ? text : "";
  }
  /* The reduced state of a job with LSIO_JOB_STATE_VALUE that has ended well. */
  value state() const {
    return value(detail::made<lsio_value>([&](auto out, auto e) { return lsio_job_state_value(get(), out, e); }));
  }
};

/* Memory of results that is held, beyond event, job and context. */
class block : public detail::owner<lsio_block, lsio_block_release> {
 public:
  using owner::owner;
  block share() const noexcept { return lsio_block_retain(get()), block(get()); }
};

/* What one step gave; there as long as its block is held. */
class result {
 public:
  result(const lsio_result &r, const char *data) noexcept : r_(&r), data_(data + r.begin) {}
  std::uint64_t step() const noexcept { return r_->step; }
  std::int64_t tag() const noexcept { return r_->tag; }
  bool is_record() const noexcept { return r_->is_record; }
  std::string_view text() const noexcept { return {data_, static_cast<std::size_t>(r_->length)}; }
  /* It begins on 64 bytes; else it lies where it was read, perhaps not even on those of a T: copy it then. */
  bool is_aligned() const noexcept { return !(r_->flags & LSIO_RESULT_UNALIGNED); }
  /* Elements: T is what the transform wrote. */
  template <class T>
  span<const T> as() const noexcept {
    return {static_cast<const T *>(static_cast<const void *>(data_)), text().size() / sizeof(T)};
  }

 private:
  const lsio_result *r_;
  const char *data_;
};

/* One of a batch, and no longer there than that; hold() keeps its results. */
class event {
 public:
  explicit event(const lsio_event &e, const char * = nullptr) noexcept : e_(&e) {}
  lsio_event_kind kind() const noexcept { return static_cast<lsio_event_kind>(e_->kind); }
  lsio_job *job() const noexcept { return e_->job; }
  void *cookie() const noexcept { return e_->cookie; }
  const lsio_error *failure() const noexcept { return e_->error; } /* of LSIO_EVENT_STEP_FAILED, else NULL */
  detail::items<result, lsio_result> results() const noexcept {
    return {{e_->results, e_->data}, {e_->results + e_->n, e_->data}};
  }
  block hold() const noexcept {
    if (e_->block) lsio_block_retain(e_->block);
    return block(e_->block);
  }

 private:
  const lsio_event *e_;
};

/* What one take brought: for (lsio::event e : queue.take()). */
class batch {
 public:
  batch(lsio_queue *q, int timeout_ms) : n_(lsio_queue_take(q, events_, 64, timeout_ms)) { detail::check(n_); }
  ~batch() { for (int i = 0; i < n_; i++) lsio_block_release(events_[i].block); }
  batch(const batch &) = delete;
  batch &operator=(const batch &) = delete;
  bool empty() const noexcept { return n_ == 0; } /* nothing came in time */
  detail::items<event, lsio_event>::iterator begin() const noexcept { return {events_, nullptr}; }
  detail::items<event, lsio_event>::iterator end() const noexcept { return {events_ + n_, nullptr}; }

 private:
  lsio_event events_[64];
  int n_;
};

/* Threads and memory for jobs. It goes last, and waits for jobs that run. */
class context : public detail::owner<lsio_context, lsio_context_destroy> {
 public:
  explicit context(const lsio_context_options &options = make<lsio_context_options>())
      : owner(detail::made<lsio_context>([&](auto out, auto e) { return lsio_context_create(&options, out, e); })) {}
  /* A job that is waited for by itself. The options have a script, a loaded one, or a request. */
  job submit(const lsio_job_options &options) const {
    return job(detail::made<lsio_job>([&](auto o, auto e) { return lsio_submit(get(), &options, o, e); }));
  }
  /* A script for many jobs; its top level runs here. */
  script load(std::string_view text, const char *name = nullptr) const {
    auto options = make<lsio_job_options>();
    options.script = text.data();
    options.script_length = text.size();
    options.script_name = name;
    script s(detail::made<lsio_script>([&](auto o, auto e) { return lsio_script_load(get(), &options, o, e); }));
    lsio_error *e = nullptr;
    const int code = lsio_script_wait(s.get(), &e);
    detail::check(code, e);
    return s;
  }
};

/* Where jobs tell what has come of them, to one thread at a time. */
class queue : public detail::owner<lsio_queue, lsio_queue_release> {
 public:
  explicit queue(const context &c, const lsio_queue_options &options = make<lsio_queue_options>())
      : owner(detail::made<lsio_queue>([&](auto o, auto e) { return lsio_queue_create(c.get(), &options, o, e); })),
        context_(c.get()) {}
  /* notify() is to wake the consumer: from threads of the context's, it must not wait, nor throw. */
  template <class F>
  static queue notifying(const context &c, F notify) {
    auto kept = std::make_unique<F>(std::move(notify));
    auto options = make<lsio_queue_options>();
    options.notify = [](void *p) { (*static_cast<F *>(p))(); };
    options.notify_user = kept.get();
    options.notify_destroy = [](void *p) { delete static_cast<F *>(p); };
    queue q(c, options);
    kept.release(); /* it is the queue's */
    return q;
  }
  /* A job that tells here. The options have a script, a loaded one, or a request. */
  job submit(lsio_job_options options) const {
    options.queue = get();
    return job(detail::made<lsio_job>([&](auto o, auto e) { return lsio_submit(context_, &options, o, e); }));
  }
  job submit(std::string_view text, lsio_job_options options = make<lsio_job_options>()) const {
    options.script = text.data();
    options.script_length = text.size();
    return submit(options);
  }
  int fd() const noexcept { return lsio_queue_fd(get()); } /* -1: there is none */
  /* Up to 64 events: waits for ever, or so long; 0: not at all. */
  batch take(int timeout_ms = -1) const { return batch(get(), timeout_ms); }
  /* f(event) of all that comes, of other jobs too, until this one has ended; then check()s it. */
  template <class F>
  void until_done(const job &j, F &&f) const {
    for (bool done = false; !done;)
      for (event e : take()) {
        if (e.kind() == LSIO_EVENT_DONE && e.job() == j.get()) done = true;
        else f(e);
      }
    j.check();
  }

 private:
  lsio_context *context_;
};

} // namespace lsio

#endif
