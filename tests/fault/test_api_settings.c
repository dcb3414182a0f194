/* Settings of contexts, and what they leave of their jobs': as far as the context goes, and what is more is said
 * once. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"
#include "seams/os.h"

#define MOST 8

/* ---- contexts ---- */

static lsio_context *context;

static void make(uint32_t flags, size_t n, const char *const *settings) {
  const struct lsio_context_options o = {
      .struct_size = sizeof o, .flags = flags, .settings = settings, .n_settings = n};
  lsio_error *error = NULL;
  if (lsio_context_create(&o, &context, &error) != 0) fail_msg("%s", lsio_error_message(error));
}
#define MAKE(flags, ...) \
  make(flags, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *const[]){__VA_ARGS__})

static void unmake(void) {
  lsio_context_destroy(context);
  context = NULL;
}

static void is_refused(uint32_t flags, const char *setting, const char *part) {
  const struct lsio_context_options o = {
      .struct_size = sizeof o, .flags = flags, .settings = &setting, .n_settings = setting != NULL};
  lsio_error *error = NULL;
  lsio_context *none = NULL;
  assert_int_equal(lsio_context_create(&o, &none, &error), LSIO_ERR_USAGE);
  assert_null(none);
  if (!strstr(lsio_error_message(error), part)) fail_msg("%s: %s", part, lsio_error_message(error));
  lsio_error_free(error);
}

/* ---- jobs ---- */

/* What is said on stderr meanwhile. */
static char said[4096];
static int real_stderr;

static void listen_to(void) {
  fflush(stderr);
  real_stderr = dup(2);
  const int fd = open("said.txt", O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
  assert_true(real_stderr >= 0 && fd >= 0 && dup2(fd, 2) == 2);
  close(fd);
}

static void listened(void) {
  fflush(stderr);
  dup2(real_stderr, 2);
  close(real_stderr);
  FILE *f = fopen("said.txt", "r");
  const size_t n = f ? fread(said, 1, sizeof said - 1, f) : 0;
  said[n] = 0;
  if (f) fclose(f);
  unlink("said.txt");
}

/* What it was: of how many workers, and by which backend. */
struct ran {
  size_t workers;
  char backend[16];
};

static struct ran run(const char *script, uint32_t flags, size_t n, const char *const *settings) {
  struct lsio_job_options o = api_options(script, flags);
  o.flags = flags;
  o.settings = settings;
  o.n_settings = n;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  listen_to();
  const int rc = polled_submit(context, &o, &job, &error);
  listened();
  if (rc != 0) fail_msg("%s", lsio_error_message(error));
  json_t *s = api_ends(job, 0);
  struct ran ran = {.workers = json_array_size(json_object_get(s, "workers"))};
  snprintf(ran.backend, sizeof ran.backend, "%s", json_string_value(json_object_get(s, "backend")));
  assert_true(api_number(json_object_get(s, "state"), "n") == API_VALUES);
  json_decref(s);
  polled_destroy(job);
  return ran;
}
#define RUN(...)                                                                                       \
  run(API_COUNTS, LSIO_JOB_NO_ENV, sizeof((const char *[]){"merge=never", __VA_ARGS__}) / sizeof(char *), \
      (const char *const[]){"merge=never", __VA_ARGS__})

static uint32_t threads(void) {
  struct lsio_context_stats s = {.struct_size = sizeof s};
  lsio_context_get_stats(context, &s);
  return s.threads;
}

static int begin(void **state) {
  static const char *const names[] = {"WORKERS", "MEMORY", "BACKEND", "PIN", "LIMIT"};
  char name[32];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    snprintf(name, sizeof name, "LSIO_%s", names[i]);
    unsetenv(name);
  }
  return api_begin(state);
}

static int end(void **state) {
  unmake();
  return api_end(state);
}

/* ---- tests ---- */

static void wrong_settings_of_contexts(void **state) {
  (void)state;
  is_refused(0, "limit=3", "setting 'limit' is a job's, not a context's; give it to each job");
  is_refused(0, "queue_depth=3", "'queue-depth'");
  is_refused(0, "workers=0", "must be a whole number from 1 to 1024");
  is_refused(LSIO_CONTEXT_BY_FIRST_JOB, "memory=lots", "'memory' must be a size");
  is_refused(0, "backend=ring", "did you mean 'uring'?");
  is_refused(0, "wokers=2", "did you mean 'workers'?");
  is_refused(0, "colour=red", "the settings of a context are workers, memory, backend, pin");
  is_refused(0, "pin", "write name=value");
  is_refused(8, NULL, "unknown flags of a context: 0x8");
}

static void a_program_that_knows_no_settings_of_contexts(void **state) {
  (void)state;
  static const char *const wrong[] = {"nonsense"};
  struct lsio_context_options o = {.struct_size = offsetof(struct lsio_context_options, settings),
                                   .trace_events = 16, .settings = wrong, .n_settings = 1};
  assert_int_equal(lsio_context_create(&o, &context, NULL), 0);
  assert_int_equal(lsio_context_trace(context, "t.json", NULL), 0); /* what stands before is known */
  assert_int_equal(unlink("t.json"), 0);
}

static void jobs_use_what_the_context_has(void **state) {
  (void)state;
  MAKE(LSIO_CONTEXT_NO_ENV, "workers=3", "memory=32MiB");
  assert_int_equal(RUN("workers=2").workers, 2);
  assert_int_equal(threads(), 2);
  assert_string_equal(said, "");
  assert_int_equal(RUN("workers=auto").workers, 3);
  assert_string_equal(said, "");
  assert_int_equal(RUN("workers=8").workers, 3);
  assert_int_equal(threads(), 3);
  assert_string_equal(said, "lsio: warning: a job wants 8 workers, but its context has 3 and starts no more: "
                            "object 'job.lua'; make the context with workers=8\n");
  assert_int_equal(RUN("workers=4").workers, 3);
  assert_string_equal(said, ""); /* once is enough */
  RUN("memory=32MiB");
  assert_string_equal(said, "");
  RUN("memory=64MiB", "workers=1");
  assert_string_equal(said, "lsio: warning: a job wants 64 MiB of memory, but all jobs of its context have "
                            "32 MiB: object 'job.lua'; make the context with memory=64MiB\n");
  RUN("memory=1GiB");
  assert_string_equal(said, "");
}

static int needs(const char *memory, char *message, size_t cap) {
  static const char script[] = "local lsio = require 'lsio'\n"
                               "return lsio.job { source = lsio.files('a.f32', { whole = true }), type = 'u8',\n"
                               "  sink = lsio.raw('out.raw', { type = 'f64' }) }\n"; /* 3.6 MB a step */
  struct lsio_job_options o = api_options(script, 0);
  o.settings = &memory;
  o.n_settings = memory != NULL;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  listen_to();
  int rc = polled_submit(context, &o, &job, &error);
  listened();
  snprintf(message, cap, "%s", error ? lsio_error_message(error) : "");
  if (rc == 0) rc = polled_wait(job);
  polled_destroy(job);
  lsio_error_free(error);
  unlink("out.raw");
  return rc;
}

static void memory_is_capped(void **state) {
  (void)state;
  char message[2048];
  MAKE(0, "memory=3MiB");
  assert_int_equal(needs(NULL, message, sizeof message), LSIO_ERR_LIMIT);
  assert_non_null(strstr(message, "the job may use 3145728"));
  assert_string_equal(said, "");
  assert_int_equal(needs("memory=64MiB", message, sizeof message), LSIO_ERR_LIMIT);
  assert_non_null(strstr(message, "the job may use 3145728"));
  assert_non_null(strstr(said, "make the context with memory=64MiB"));
  unmake();
  MAKE(0, "memory=64MiB");
  assert_int_equal(needs(NULL, message, sizeof message), 0);
  assert_int_equal(needs("memory=3MiB", message, sizeof message), LSIO_ERR_LIMIT);
  assert_int_equal(needs("memory=4MiB", message, sizeof message), 0);
}

static void a_backend_is_the_contexts_where_it_has_one(void **state) {
  (void)state;
  MAKE(LSIO_CONTEXT_NO_ENV, "workers=2"); /* its jobs may choose, one by one */
  RUN("backend=auto");
  assert_string_equal(RUN("backend=pread").backend, "pread");
  assert_string_equal(said, "");
  unmake();
  MAKE(LSIO_CONTEXT_NO_ENV, "backend=pread");
  assert_string_equal(RUN("workers=1").backend, "pread");
  assert_string_equal(RUN("backend=pread").backend, "pread");
  assert_string_equal(said, "");
  assert_string_equal(RUN("backend=uring").backend, "pread");
  assert_string_equal(said, "lsio: warning: a job wants backend=uring, but its context was made with "
                            "backend=pread: object 'job.lua'; make the context without a backend, and each job "
                            "takes its own\n");
  assert_string_equal(RUN("backend=auto").backend, "pread");
  assert_string_equal(said, "");
}

static void threads_are_tied_as_the_context_says(void **state) {
  (void)state;
  MAKE(LSIO_CONTEXT_NO_ENV, "pin=never");
  RUN("pin=never");
  assert_string_equal(said, "");
  RUN("pin=auto");
  assert_non_null(strstr(said, "a job wants pin=auto, but its context was made with pin=never"));
  RUN("pin=auto");
  assert_string_equal(said, "");
  unmake();
  MAKE(LSIO_CONTEXT_NO_ENV, "workers=auto");
  RUN("pin=never"); /* nothing is tied yet */
  assert_string_equal(said, "");
  static const char *const apart[] = {"merge=never"};
  run(API_COUNTS, LSIO_JOB_OWN_CPUS | LSIO_JOB_NO_ENV, 1, apart); /* now they are, unless a quota is in the way */
  RUN("pin=auto");
  assert_string_equal(said, "");
  RUN("pin=never");
  if (lsi_os_cpu_quota()) assert_string_equal(said, "");
  else assert_non_null(strstr(said, "an earlier one has tied the threads of its context to CPUs"));
}

static void variables_are_the_contexts_too(void **state) {
  (void)state;
  setenv("LSIO_WORKERS", "many", 1);
  is_refused(0, NULL, "setting 'workers' (from LSIO_WORKERS) must be");
  MAKE(LSIO_CONTEXT_NO_ENV, "workers=2");
  unmake();
  setenv("LSIO_WORKERS", "2", 1);
  setenv("LSIO_BACKEND", "pread", 1);
  setenv("LSIO_LIMIT", "nonsense", 1); /* is a job's */
  MAKE(0, "memory=64MiB");
  unsetenv("LSIO_LIMIT");
  const struct ran ran = RUN("workers=3", "backend=uring");
  assert_int_equal(ran.workers, 2);
  assert_string_equal(ran.backend, "pread");
  assert_non_null(strstr(said, "a job wants 3 workers"));
  assert_non_null(strstr(said, "a job wants backend=uring"));
  unmake();
  MAKE(0, "workers=3", "backend=auto"); /* who makes it overrules variables, for its jobs as well */
  static const char *const apart[] = {"merge=never"};
  assert_int_equal(run(API_COUNTS, 0, 1, apart).workers, 3);
  assert_string_equal(said, "");
}

static void a_context_made_for_its_first_job(void **state) {
  (void)state;
  static const char *const apart[] = {"merge=never"};
  char script[1024];
  snprintf(script, sizeof script, "%.*s, options = { workers = 5, memory = '32MiB', backend = 'pread' } }",
           (int)strlen(API_COUNTS) - 2, API_COUNTS);
  setenv("LSIO_MEMORY", "48MiB", 1);
  MAKE(LSIO_CONTEXT_BY_FIRST_JOB, "backend=auto");
  const struct ran first = run(script, 0, 1, apart);
  assert_int_equal(first.workers, 5);
  assert_non_null(strstr(said, "a job wants backend=pread, but its context was made with backend=auto"));
  assert_null(strstr(said, "workers"));
  assert_null(strstr(said, "memory"));
  unsetenv("LSIO_MEMORY");
  assert_int_equal(RUN("workers=6", "memory=49MiB").workers, 5);
  assert_non_null(strstr(said, "a job wants 6 workers, but its context has 5"));
  assert_non_null(strstr(said, "all jobs of its context have 48 MiB"));
  unmake();
  MAKE(LSIO_CONTEXT_BY_FIRST_JOB, "memory=64MiB");
  assert_int_equal(RUN("workers=1").workers, 1); /* what the job was given wins over all else */
  assert_int_equal(RUN("workers=2").workers, 1);
}

/* ---- priorities ---- */

/* Which job each step was of, as the one worker took them. */
struct order {
  int32_t open, n;
  char who[2 * API_STEPS];
};

/* Its first step waits until `open` is set. */
#define ORDERED                                                                                         \
  "local lsio, ffi = require 'lsio', require 'ffi'\n"                                                   \
  "ffi.cdef 'typedef struct { int32_t open, n; char who[?]; } lsio_test_order; int usleep(unsigned);'\n" \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 400 }), type = 'f32',\n"                    \
  " params = { at = 0, who = 0 },\n"                                                                    \
  " transform = function(chunk, _, params)\n"                                                           \
  "  local order = ffi.cast('lsio_test_order *', ffi.cast('uintptr_t', params.at))\n"                   \
  "  while order.open == 0 do ffi.C.usleep(100) end\n"                                                  \
  "  order.who[order.n] = params.who\n"                                                                 \
  "  order.n = order.n + 1 end }\n"

static lsio_job *submit_ordered(const lsio_script *loaded, struct order *order, char who, const char *priority) {
  char at[40], name[16];
  snprintf(at, sizeof at, "--at=%llu", (unsigned long long)(uintptr_t)order);
  snprintf(name, sizeof name, "--who=%d", who);
  const char *const args[] = {at, name}, *const settings[] = {"merge=never", priority};
  const struct lsio_job_options o = {.struct_size = sizeof o, .flags = LSIO_JOB_NO_ENV, .loaded = loaded,
                                     .args = args, .n_args = 2, .settings = settings, .n_settings = 2};
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(context, &o, &job, &error) != 0) fail_msg("%s", lsio_error_message(error));
  return job;
}

static void a_job_in_the_background_gives_way(void **state) {
  (void)state;
  MAKE(LSIO_CONTEXT_NO_ENV, "workers=1");
  static struct order order;
  memset(&order, 0, sizeof order);
  const struct lsio_job_options o = api_options(ORDERED, 0);
  lsio_script *loaded = NULL;
  assert_int_equal(lsio_script_load(context, &o, &loaded, NULL), 0);
  lsio_job *back = submit_ordered(loaded, &order, 'b', "priority=background");
  lsio_job *normal = submit_ordered(loaded, &order, 'n', "priority=normal");
  __atomic_store_n(&order.open, 1, __ATOMIC_SEQ_CST);
  assert_int_equal(polled_wait(normal), 0);
  assert_int_equal(polled_wait(back), 0);
  polled_destroy(normal);
  polled_destroy(back);
  lsio_script_release(loaded);
  assert_int_equal(order.n, 2 * API_STEPS);
  const char *first = memchr(order.who, 'n', 2 * API_STEPS), *last = order.who + 2 * API_STEPS;
  while (*--last != 'n') {
  }
  /* What the other one had begun while it was alone comes with the first ones: the middle tells. */
  const char *from = first + (last - first) / 4, *to = first + (last - first) / 4 * 3;
  int n = 0, all = (int)(to - from);
  for (const char *p = from; p < to; p++) n += *p == 'b';
  if (n * 10 > all || n * 30 < all) fail_msg("%d of %d steps are of the job in the background", n, all);
}

#define SETTINGS_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      SETTINGS_TEST(wrong_settings_of_contexts),
      SETTINGS_TEST(a_program_that_knows_no_settings_of_contexts),
      SETTINGS_TEST(jobs_use_what_the_context_has),
      SETTINGS_TEST(memory_is_capped),
      SETTINGS_TEST(a_backend_is_the_contexts_where_it_has_one),
      SETTINGS_TEST(threads_are_tied_as_the_context_says),
      SETTINGS_TEST(variables_are_the_contexts_too),
      SETTINGS_TEST(a_context_made_for_its_first_job),
      SETTINGS_TEST(a_job_in_the_background_gives_way),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
