/* Children of fork, and what they have of their parent's: each function of lsio.h is called there with the
 * parent's objects while its jobs run. None waits, and the parent notices nothing. Its descriptors and files:
 * test_api_fork_files.c; what children make themselves, and forks beside busy threads:
 * test_api_fork_busy.c. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "fork_child.h"
#include "polled.h"

/* ---- the parent's ---- */

static lsio_queue *queue, *idle;
static atomic_bool told; /* that nobody needs the idle one's `notify` any more */
static lsio_script *script;
static lsio_job *waited, *queued, *writes; /* go on */
static lsio_job *ended, *merged;           /* have ended: there is something to tell */
static lsio_job *unplanned;                /* waits for its queue's consumer */
static lsio_block *block;
static char *block_data;
static lsio_value *value;
static lsio_request *request;
static lsio_error *error;
static struct lsio_array array;
static float output[API_VALUES]; /* of `waited` */
static atomic_bool go; /* the steps of its jobs may end */

static int32_t step(const lsio_step *s, void *state) {
  (void)state;
  const struct timespec pause = {0, 1000000};
  while (!atomic_load(&go) && !__atomic_load_n(s->stop, __ATOMIC_RELAXED)) nanosleep(&pause, NULL);
  if (s->out) memcpy(s->out, s->data, s->bytes);
  return 0;
}

static const struct lsio_transform waits = {.struct_size = sizeof waits, .step = step};

static int32_t merge(void *user, void *into, void *from, char *message, size_t size) {
  (void)user, (void)into, (void)from, (void)message, (void)size;
  return 0;
}

static const struct lsio_transform merges = {
    .struct_size = sizeof merges, .step = step, .merge = merge, .state_size = 8};

/* Steps fail, and the state has no form in JSON. */
#define ENDS API_HEAD " on_error = 'skip', transform = function(c) if c.step > 7 then error('no') end end, " \
  "finish = function() return { [1] = 1, ['1'] = 1 } end, reduce = function(a) return a end }\n"
#define WRITES API_HEAD " sink = lsio.raw('out.f32', { exists = 'replace' }) }\n"

static lsio_job *submit_waiting(const char *text, uint32_t flags, lsio_queue *to, void *into) {
  struct lsio_job_options o = api_options(text, flags);
  o.transform = &waits;
  o.queue = to;
  o.output = into;
  o.output_length = into ? sizeof output : 0;
  lsio_job *job = NULL;
  assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0);
  return job;
}

static void take_array(void) {
  lsio_job *job = api_submit(API_HEAD " sink = lsio.memory() }", 0);
  assert_int_equal(polled_wait(job), 0);
  array = (struct lsio_array){.struct_size = sizeof array};
  assert_int_equal(lsio_job_take_output(job, &array), 0);
  api_close(job);
}

/* Of a context that has gone: nobody keeps the block's memory for others. */
static void take_block(void) {
  struct lsio_job_options o = api_options(API_HEAD "}", LSIO_JOB_STREAM);
  lsio_context *before;
  lsio_queue *of_block;
  lsio_job *job;
  assert_int_equal(lsio_context_create(NULL, &before, NULL), 0);
  assert_int_equal(lsio_queue_create(before, NULL, &of_block, NULL), 0);
  o.queue = of_block;
  assert_int_equal(lsio_submit(before, &o, &job, NULL), 0);
  for (struct lsio_event e = {0}; e.kind != LSIO_EVENT_DONE;) {
    assert_int_equal(lsio_queue_take(of_block, &e, 1, -1), 1);
    if (e.kind != LSIO_EVENT_RESULTS) continue;
    lsio_block_release(block);
    block = e.block;
    block_data = (char *)(uintptr_t)e.data;
  }
  assert_non_null(block);
  lsio_job_release(job);
  lsio_queue_release(of_block);
  lsio_context_destroy(before);
}

/* A state, of a transform whose steps need not wait. */
static void end_merged(void) {
  atomic_store(&go, true);
  merged = api_submit_c(API_HEAD "}", 0, &merges);
  assert_int_equal(polled_wait(merged), 0);
  assert_non_null(lsio_job_state(merged));
  atomic_store(&go, false);
}

static void note_end(void *user) { atomic_store((atomic_bool *)user, true); }

static int begin(void **state) {
  if (api_begin(state) != 0) return -1;
  end_merged();
  atomic_store(&told, false);
  block = NULL;
  assert_int_equal(lsio_queue_create(api_context, NULL, &queue, NULL), 0);
  const struct lsio_queue_options q = {.struct_size = sizeof q, .notify_destroy = note_end, .notify_user = &told,
                                       .flags = LSIO_QUEUE_COORDINATES};
  assert_int_equal(lsio_queue_create(api_context, &q, &idle, NULL), 0);
  unplanned = submit_waiting(API_HEAD "}", LSIO_JOB_STREAM, idle, NULL);
  take_block();
  take_array();
  const struct lsio_job_options o = api_options(API_COUNTS, 0);
  assert_int_equal(lsio_script_load(api_context, &o, &script, NULL), 0);
  assert_int_equal(lsio_script_wait(script, NULL), 0);
  lsio_job *none;
  const struct lsio_job_options wrong = {.struct_size = sizeof wrong};
  assert_int_equal(lsio_submit(api_context, &wrong, &none, &error), LSIO_ERR_USAGE);
  value = lsio_value_bytes("abc", 3);
  const char *const name = "a.f32";
  const struct lsio_request_options r = {.struct_size = sizeof r, .objects = &name, .n_objects = 1, .n = 1};
  assert_int_equal(lsio_request_create(&r, &request, NULL), 0);
  ended = api_submit(ENDS, 0);
  assert_int_equal(polled_wait(ended), 0);
  assert_true(lsio_job_state_error(ended) && lsio_job_error_count(ended) && lsio_job_step_error(ended, 0) &&
              lsio_job_summary_json(ended) && lsio_job_summary_text(ended) && lsio_job_failures_text(ended));
  memset(output, 0, sizeof output);
  waited = submit_waiting(API_HEAD "}", 0, NULL, output);
  queued = submit_waiting(API_HEAD "}", LSIO_JOB_STREAM, queue, NULL);
  writes = submit_waiting(WRITES, 0, NULL, NULL);
  lsio_job *const all[] = {waited, queued, writes};
  for (int i = 0; i < 3; i++) {
    struct lsio_progress p = {.struct_size = sizeof p};
    while (p.began == 0) lsio_job_progress(all[i], &p);
  }
  wait_until_others_sleep();
  return 0;
}

/* As many bytes as a.f32 has, all right, from the parent's jobs once they go on. */
static void both_jobs_end_well(void) {
  size_t bytes = 0;
  atomic_store(&go, true);
  assert_int_equal(lsio_wait(waited, -1), 0);
  assert_memory_equal(output, api_values, sizeof api_values);
  for (struct lsio_event e = {0}; e.kind != LSIO_EVENT_DONE;) {
    assert_int_equal(lsio_queue_take(queue, &e, 1, -1), 1);
    for (uint32_t i = 0; e.kind == LSIO_EVENT_RESULTS && i < e.n; i++) {
      bytes += e.results[i].length;
      assert_memory_equal(e.data + e.results[i].begin, api_values + e.results[i].step * 100,
                          e.results[i].length);
    }
    if (e.kind == LSIO_EVENT_RESULTS) lsio_block_release(e.block);
  }
  assert_int_equal(lsio_job_status(queued), 0);
  assert_int_equal(bytes, sizeof api_values);
}

static void the_file_is_right(void) {
  atomic_store(&go, true);
  assert_int_equal(lsio_wait(writes, -1), 0);
  static float got[API_VALUES + 1];
  FILE *f = fopen("out.f32", "rb");
  assert_non_null(f);
  assert_int_equal(fread(got, 4, API_VALUES + 1, f), API_VALUES);
  fclose(f);
  assert_memory_equal(got, api_values, sizeof api_values);
}

static int end(void **state) {
  atomic_store(&go, true);
  lsio_job_release(waited);
  lsio_job_release(queued);
  lsio_job_release(writes);
  api_close(ended);
  api_close(merged);
  lsio_queue_release(queue);
  lsio_job_release(unplanned);
  lsio_queue_release(idle);
  lsio_script_release(script);
  lsio_block_release(block);
  lsio_array_free(&array);
  lsio_value_release(value);
  lsio_request_release(request);
  lsio_error_free(error);
  unlink("out.f32");
  return api_end(state);
}

/* ---- a child ---- */

static lsio_error *e;

/* The error says what to do. */
static bool refuses(int code) {
  const bool right = code == LSIO_ERR_FORKED && e && lsio_error_code(e) == code &&
                     lsio_error_kind(e) == LSIO_KIND_FORKED && !lsio_error_is_retryable(e) &&
                     strstr(lsio_error_message(e), "make a context of its own");
  lsio_error_free(e);
  e = NULL;
  return right;
}

static lsio_context *context;
static lsio_queue *other_queue;
static lsio_job *other_job;
static lsio_script *other_script;
static lsio_value *other_value;
static struct lsio_event events[4];
static char *text;
static int released; /* of a transform that is refused */
static void note(void *user) { ++*(int *)user; }

static int submit_to(lsio_context *c, lsio_queue *q, const lsio_script *loaded) {
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  if (loaded) o.script = NULL;
  struct lsio_transform t = waits;
  t.release = note;
  t.user = &released;
  o.transform = &t;
  o.queue = q;
  o.loaded = loaded;
  released = 0;
  return lsio_submit(c, &o, &other_job, &e);
}

static bool refuses_jobs(void) {
  bool right = refuses(submit_to(api_context, NULL, NULL)) && released == 1;
  right &= refuses(submit_to(api_context, queue, script)) && released == 1;
  if (lsio_context_create(NULL, &context, NULL) != 0) return false;
  right &= refuses(submit_to(context, queue, NULL)) && released == 1;
  right &= refuses(submit_to(context, NULL, script)) && released == 1;
  lsio_context_destroy(context);
  return right;
}

static bool refuses_help(void) {
  const struct lsio_job_options o = api_options(API_COUNTS, 0);
  return refuses(lsio_script_help(api_context, &o, &text, &e));
}

static bool refuses_script(void) {
  const struct lsio_job_options o = api_options(API_COUNTS, 0);
  return refuses(lsio_script_load(api_context, &o, &other_script, &e));
}

static bool knows_nothing(void) {
  struct lsio_progress p, none = {.struct_size = sizeof p};
  memset(&p, 0x55, sizeof p);
  p.struct_size = sizeof p;
  lsio_job_progress(waited, &p);
  return memcmp(&p, &none, sizeof p) == 0;
}

static bool has_no_stats(void) {
  struct lsio_context_stats s, none = {.struct_size = sizeof s};
  memset(&s, 0x55, sizeof s);
  s.struct_size = sizeof s;
  lsio_context_get_stats(api_context, &s);
  return memcmp(&s, &none, sizeof s) == 0;
}

static bool says_whose_it_is(void) {
  text = lsio_job_activity(waited);
  const bool right = text && strstr(text, "parent");
  lsio_free(text);
  return right;
}

/* It is the child's own copy, which goes; the parent's stays. */
static bool frees_arrays(void) {
  struct lsio_array own = array;
  unsigned char there;
  if (((const float *)own.data)[7] != api_values[7]) return false;
  lsio_array_free(&own);
  return !own.data && mincore(array.data, 4096, &there) != 0;
}

/* Something of the child's may lie where the parent has the block's memory. */
static bool lets_go_of_blocks(void) {
  char *at = (char *)((uintptr_t)block_data & ~(uintptr_t)4095);
  char *own = mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (own != at) return false;
  own[1] = 7;
  lsio_block_release(block);
  return own[1] == 7;
}

static int threads(void) {
  DIR *d = opendir("/proc/self/task");
  int n = 0;
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

/* None is planned for that by a thread of the context's. */
static bool releases_jobs(void) {
  const int before = threads();
  lsio_job_release(queued);
  lsio_job_release(queued);
  lsio_job_release(waited);
  lsio_job_release(writes);
  lsio_job_release(unplanned);
  return threads() == before;
}

static bool copies_errors(void) {
  lsio_error *copy = lsio_error_dup(error);
  const bool right = copy && strcmp(lsio_error_message(copy), lsio_error_message(error)) == 0;
  lsio_error_free(copy);
  return right;
}

static bool is_refusal(const lsio_error *of_job) {
  return of_job && lsio_error_code(of_job) == LSIO_ERR_FORKED &&
         strstr(lsio_error_message(of_job), "make a context of its own");
}

/* X(function, what is true of it in a child), in the order of their calls: of those that take what may be the
 * parent's. None may wait. */
#define PARENTS(X)                                                                                     \
  X(lsio_context_get_stats, has_no_stats())                                                            \
  X(lsio_context_get_thread_stats,                                                                     \
    lsio_context_get_thread_stats(api_context, 0, &(struct lsio_thread_stats){                         \
        .struct_size = sizeof(struct lsio_thread_stats)}) == LSIO_ERR_FORKED)                          \
  X(lsio_context_trace, refuses(lsio_context_trace(api_context, "trace.json", &e)))                    \
  X(lsio_submit, refuses_jobs())                                                                       \
  X(lsio_script_help, refuses_help())                                                                  \
  X(lsio_script_load, refuses_script())                                                                \
  X(lsio_script_wait, refuses(lsio_script_wait(script, &e)))                                           \
  X(lsio_queue_create, refuses(lsio_queue_create(api_context, NULL, &other_queue, &e)))                \
  X(lsio_queue_fd, lsio_queue_fd(queue) == -1)                                                         \
  X(lsio_queue_take, lsio_queue_take(queue, events, 4, -1) == LSIO_ERR_FORKED)                         \
  X(lsio_wait, lsio_wait(waited, -1) == LSIO_ERR_FORKED && lsio_wait(waited, 0) == LSIO_ERR_FORKED)    \
  X(lsio_job_number, lsio_job_number(waited) > 0)                                                      \
  X(lsio_job_progress, knows_nothing())                                                                \
  X(lsio_job_activity, says_whose_it_is())                                                             \
  X(lsio_job_status, lsio_job_status(waited) == LSIO_ERR_FORKED)                                       \
  X(lsio_job_exit_code, lsio_job_exit_code(waited) == 2)                                               \
  X(lsio_job_error, is_refusal(lsio_job_error(waited)))                                                \
  X(lsio_job_state_error, !lsio_job_state_error(ended))                                                \
  X(lsio_job_state, !lsio_job_state(merged))                                                           \
  X(lsio_job_state_value, refuses(lsio_job_state_value(waited, &other_value, &e)))                     \
  X(lsio_job_error_count, lsio_job_error_count(ended) == 0)                                            \
  X(lsio_job_step_error, !lsio_job_step_error(ended, 0))                                               \
  X(lsio_job_explain, !lsio_job_explain(waited, 0))                                                    \
  X(lsio_job_summary_json, !lsio_job_summary_json(ended))                                              \
  X(lsio_job_summary_text, !lsio_job_summary_text(ended))                                              \
  X(lsio_job_failures_text, !lsio_job_failures_text(ended))                                            \
  X(lsio_job_output, lsio_job_output(waited, &(struct lsio_array){.struct_size = sizeof array}) ==     \
                         LSIO_ERR_FORKED)                                                              \
  X(lsio_job_take_output, lsio_job_take_output(waited, &(struct lsio_array){                           \
                              .struct_size = sizeof array}) == LSIO_ERR_FORKED)                        \
  X(lsio_cancel, (lsio_cancel(waited), lsio_cancel(queued), true))                                     \
  X(lsio_job_abandon, (lsio_job_abandon(writes), true))                                                \
  X(lsio_job_retain, (lsio_job_retain(queued), true))                                                  \
  X(lsio_job_release, releases_jobs())                                                                 \
  X(lsio_queue_release, (lsio_queue_release(queue), lsio_queue_release(idle), !told))                  \
  X(lsio_script_release, (lsio_script_release(script), true))                                          \
  X(lsio_context_destroy, (lsio_context_destroy(api_context), true))                                   \
  X(lsio_block_retain, (lsio_block_retain(block), lsio_block_release(block), true))                    \
  X(lsio_block_release, lets_go_of_blocks())                                                           \
  X(lsio_array_free, frees_arrays())                                                                   \
  X(lsio_value_retain, lsio_value_retain(value) == value)                                              \
  X(lsio_value_kind, lsio_value_kind(value) == LSIO_VALUE_BYTES)                                       \
  X(lsio_value_release, (lsio_value_release(value), lsio_value_release(value), true))                  \
  X(lsio_read_now, lsio_read_now(api_context, "/", &(int64_t){0}, &(int64_t){1}, 1, &e, 1) == -1)      \
  X(lsio_request_retain, lsio_request_retain(request) == request)                                      \
  X(lsio_request_release, (lsio_request_release(request), lsio_request_release(request), true))        \
  X(lsio_error_dup, copies_errors())                                                                   \
  X(lsio_error_code, lsio_error_code(error) == LSIO_ERR_USAGE)                                         \
  X(lsio_error_kind, lsio_error_kind(error) == LSIO_KIND_USAGE)                                        \
  X(lsio_error_free, (lsio_error_free(error), true))

/* Plain functions, and those of values and errors that only read what lies in memory: a child has a copy of
 * that. Here so that nobody forgets to look at a new one. */
static const char *const plain[] = {
    "lsio_context_create", "lsio_doctor", "lsio_error_file", "lsio_error_is_retryable", "lsio_error_json",
    "lsio_error_kind_name", "lsio_error_length", "lsio_error_line", "lsio_error_message", "lsio_error_name",
    "lsio_error_object", "lsio_error_offset", "lsio_error_os_code", "lsio_error_step", "lsio_free",
    "lsio_request_create", "lsio_settings", "lsio_size_format", "lsio_strerror", "lsio_value_array",
    "lsio_value_as_double", "lsio_value_as_int", "lsio_value_as_uint", "lsio_value_bool", "lsio_value_bytes",
    "lsio_value_double",
    "lsio_value_find", "lsio_value_get", "lsio_value_int", "lsio_value_list", "lsio_value_map",
    "lsio_value_nil", "lsio_value_record", "lsio_value_uint", "lsio_version",
};

#define FUNCTION(name, right) static bool right_##name(void) { return right; }
PARENTS(FUNCTION)
#define ROW(name, right) {#name, right_##name},
static const struct {
  const char *name;
  bool (*right)(void);
} parents[] = {PARENTS(ROW)};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static long sleeps(void) {
  struct rusage u;
  getrusage(RUSAGE_THREAD, &u);
  return u.ru_nvcsw;
}

static const char *call_all(void) {
  static char found[256];
  for (size_t i = 0; i < COUNT(parents); i++) {
    const bool starts_threads = strcmp(parents[i].name, "lsio_submit") == 0; /* of a context of its own */
    const long before = sleeps();
    fork_child_at(parents[i].name);
    if (!parents[i].right()) return parents[i].name;
    snprintf(found, sizeof found, "%s waits", parents[i].name);
    if (sleeps() != before && !starts_threads) return found;
  }
  return NULL;
}

/* ---- tests ---- */

static void no_function_is_forgotten(void **state) {
  (void)state;
  char path[4096], line[256];
  snprintf(path, sizeof path, "%s/core/lsio.symbols", getenv("LSIO_SOURCE_DIR"));
  FILE *f = fopen(path, "r");
  if (!f) fail_msg("%s, by LSIO_SOURCE_DIR", path);
  size_t known = 0;
  while (fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = 0;
    if (line[0] == '#') continue;
    size_t n = 0;
    for (size_t i = 0; i < COUNT(parents); i++) n += strcmp(parents[i].name, line) == 0;
    for (size_t i = 0; i < COUNT(plain); i++) n += strcmp(plain[i], line) == 0;
    known += n;
    if (n != 1)
      fail_msg("%s is %zu times in the tables above: what does it do in a child of fork with what is its "
               "parent's? See api/forked.h", line, n);
  }
  fclose(f);
  assert_int_equal(known, COUNT(parents) + COUNT(plain));
}

static void what_is_the_parents_is_refused(void **state) {
  (void)state;
  fork_child_right(call_all);
  fork_child_right(call_all); /* the parent has all that the first child let go of */
  both_jobs_end_well();
  the_file_is_right();
  assert_memory_equal(array.data, api_values, sizeof api_values);
}

/* Forks while the lock of scripts' coordinators is held, and as it is in a call of the parent's context. */
static char forked_wrong[600];
static void fork_there(void *user, uint64_t job, int level, const char *said, size_t n) {
  (void)user, (void)job, (void)level, (void)said, (void)n;
  const char *found = fork_child(call_all);
  snprintf(forked_wrong, sizeof forked_wrong, "%s", found ? found : "nothing");
}

static void locks_that_the_parent_holds_are_left_alone(void **state) {
  (void)state;
  const struct lsio_context_options o = {.struct_size = sizeof o, .log = fork_there};
  lsio_context *before = api_context;
  lsio_script *script_before = script;
  assert_int_equal(lsio_context_create(&o, &api_context, NULL), 0);
  struct lsio_job_options j = api_options(API_COUNTS, 0);
  assert_int_equal(lsio_script_load(api_context, &j, &script, NULL) | lsio_script_wait(script, NULL), 0);
  j = api_options("print('here') " API_COUNTS, 0);
  lsio_script *says;
  assert_int_equal(lsio_script_load(api_context, &j, &says, NULL) | lsio_script_wait(says, NULL), 0);
  lsio_script_release(says);
  lsio_script_release(script);
  lsio_context_destroy(api_context);
  script = script_before;
  api_context = before;
  assert_string_equal(forked_wrong, "nothing");
}

#define FORK_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(no_function_is_forgotten),
      FORK_TEST(what_is_the_parents_is_refused),
      FORK_TEST(locks_that_the_parent_holds_are_left_alone),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
