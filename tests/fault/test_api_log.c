/* What jobs print, log and are warned of, taken by the program: whole, with its job and level, from many
 * threads, and nothing on stdout and stderr. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

#define MOST 20000
#define LONGEST 200

struct message {
  uint64_t job;
  int level;
  size_t n;
  char text[LONGEST];
};

static struct {
  pthread_mutex_t mutex;
  size_t n;
  struct message all[MOST];
} taken = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void take(void *user, uint64_t job, int level, const char *text, size_t n) {
  assert_ptr_equal(user, &taken);
  pthread_mutex_lock(&taken.mutex);
  if (taken.n < MOST) {
    struct message *m = &taken.all[taken.n++];
    *m = (struct message){.job = job, .level = level, .n = n};
    memcpy(m->text, text, n < LONGEST - 1 ? n : LONGEST - 1);
  }
  pthread_mutex_unlock(&taken.mutex);
}

/* What is written to stdout and stderr meanwhile goes to files. */
static int kept[2] = {-1, -1};

static void mute(void) {
  fflush(stdout);
  fflush(stderr);
  for (int i = 0; i < 2; i++) {
    kept[i] = dup(i + 1);
    const int fd = open(i ? "err" : "out", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (kept[i] < 0 || dup2(fd, i + 1) < 0) abort();
    close(fd);
  }
}

/* Returns how many bytes were written to both. */
static size_t unmute(void) {
  size_t n = 0;
  fflush(stdout);
  fflush(stderr);
  for (int i = 0; i < 2; i++) {
    struct stat st;
    if (fstat(i + 1, &st) == 0) n += (size_t)st.st_size;
    dup2(kept[i], i + 1);
    close(kept[i]);
    kept[i] = -1;
  }
  return n;
}

static int begin(void **state) {
  const int rc = api_begin(state);
  if (rc) return rc;
  lsio_context_destroy(api_context);
  taken.n = 0;
  memset(taken.all, 0, sizeof taken.all);
  static const char *const four_workers[] = {"workers=4"};
  const struct lsio_context_options o = {.struct_size = sizeof o, .flags = LSIO_CONTEXT_NO_ENV,
                                         .settings = four_workers, .n_settings = 1, .log = take, .log_user = &taken};
  return lsio_context_create(&o, &api_context, NULL);
}

static int end(void **state) {
  if (kept[0] >= 0) unmute();
  unlink("out");
  unlink("err");
  return api_end(state);
}

static void check_one(size_t i, uint64_t job, int level, const char *text, size_t n) {
  const struct message *m = &taken.all[i];
  if (i >= taken.n) fail_msg("there are only %zu messages", taken.n);
  if (m->job != job || m->level != level || m->n != n || memcmp(m->text, text, n) != 0)
    fail_msg("message %zu is of job %u, level %d, %zu bytes: %s", i, (unsigned)m->job, m->level, m->n, m->text);
}

static void every_place_that_speaks(void **state) {
  (void)state;
  mute();
  lsio_job *job = api_submit(
      "local lsio = require 'lsio' print('top', nil, 1)\n"
      "return lsio.job { source = function() print 'source' return lsio.files('a.f32', { whole = true }) end,\n"
      " setup = function() lsio.log('setup', true) end, init = function() print '' end,\n"
      " transform = function() print 'a\\nb\\0c\\255' end, finish = function() lsio.log 'finish' end,\n"
      " state = 'double n;', reduce = function(a) print 'reduce' return a end,\n"
      " done = function() print 'done' end, options = { workers = 1 } }",
      0);
  json_t *summary = api_ends(job, 0);
  json_decref(summary);
  const uint64_t id = lsio_job_number(job);
  assert_int_equal(unmute(), 0);
  assert_true(id == 1);
  static const struct {
    const char *text;
    size_t n;
    int level;
  } want[] = {{"top\tnil\t1", 9, LSIO_LOG_PRINT}, {"setup\ttrue", 10, LSIO_LOG_INFO}, {"source", 6, LSIO_LOG_PRINT},
              {"top\tnil\t1", 9, LSIO_LOG_PRINT}, {"", 0, LSIO_LOG_PRINT}, {"a\nb\0c\377", 6, LSIO_LOG_PRINT},
              {"finish", 6, LSIO_LOG_INFO}, {"done", 4, LSIO_LOG_PRINT}};
  for (size_t i = 0; i < sizeof want / sizeof *want; i++) check_one(i, id, want[i].level, want[i].text, want[i].n);
  assert_int_equal(taken.n, sizeof want / sizeof *want);
}

static void warnings(void **state) {
  (void)state;
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  static const char *const many[] = {"workers=77"};
  o.settings = many;
  o.n_settings = 1;
  mute();
  for (int i = 0; i < 2; i++) { /* said once */
    lsio_job *job = NULL;
    assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
    assert_int_equal(polled_wait(job), 0);
    polled_destroy(job);
  }
  assert_int_equal(unmute(), 0);
  assert_int_equal(taken.n, 1);
  const struct message *m = &taken.all[0];
  assert_int_equal(m->level, LSIO_LOG_WARNING);
  assert_true(m->job == 1);
  if (strncmp(m->text, "a job wants 77 workers", 22) != 0 || strchr(m->text, '\n')) fail_msg("%s", m->text);
}

/* A loaded script speaks for no job when it is loaded, and later for each that it is run for. */
static void loaded_scripts(void **state) {
  (void)state;
  const char *text = "local lsio = require 'lsio' print 'top'\n"
                     "return lsio.job { source = lsio.files('a.f32', { chunk = 4000 }), params = { who = 0 },\n"
                     " transform = function(chunk, s, params) print('step', params.who) end,\n"
                     " done = function() lsio.log 'done' end }";
  struct lsio_job_options o = api_options(text, 0);
  lsio_script *script = NULL;
  mute();
  assert_int_equal(lsio_script_load(api_context, &o, &script, NULL), 0);
  assert_int_equal(taken.n, 0);
  assert_int_equal(lsio_script_wait(script, NULL), 0);
  assert_int_equal(taken.n, 1);
  check_one(0, 0, LSIO_LOG_PRINT, "top", 3);
  enum { JOBS = 5 };
  lsio_job *jobs[JOBS];
  for (int i = 0; i < JOBS; i++) {
    char arg[32];
    const char *args = arg;
    snprintf(arg, sizeof arg, "--who=%d", i + 1);
    struct lsio_job_options l = {.struct_size = sizeof l, .loaded = script, .args = &args, .n_args = 1};
    assert_int_equal(polled_submit(api_context, &l, &jobs[i], NULL), 0);
    assert_true(lsio_job_number(jobs[i]) == (uint64_t)i + 1);
  }
  for (int i = 0; i < JOBS; i++) {
    assert_int_equal(polled_wait(jobs[i]), 0);
    polled_destroy(jobs[i]);
  }
  lsio_script_release(script);
  assert_int_equal(unmute(), 0);
  size_t steps[JOBS + 1] = {0}, ends[JOBS + 1] = {0};
  for (size_t i = 1; i < taken.n; i++) {
    const struct message *m = &taken.all[i];
    char step[32];
    snprintf(step, sizeof step, "step\t%u", (unsigned)m->job);
    assert_true(m->job >= 1 && m->job <= JOBS);
    if (m->level == LSIO_LOG_INFO) assert_string_equal(m->text, "done"), ends[m->job]++;
    else if (strcmp(m->text, "top") != 0) assert_string_equal(m->text, step), steps[m->job]++;
  }
  for (int i = 1; i <= JOBS; i++) {
    assert_int_equal(steps[i], 100);
    assert_int_equal(ends[i], 1);
  }
}

static void *client(void *seed) {
  size_t wrong = 0;
  for (int i = 0; i < 10; i++) {
    char text[600];
    snprintf(text, sizeof text,
             "local lsio = require 'lsio'\n"
             "return lsio.job { source = lsio.files('a.f32', { chunk = 4000 }),\n"
             " setup = function() print('%u.%d setup') end, transform = function(chunk) print('%u.%d', chunk.index) end,\n"
             " done = function() print('%u.%d done') end }",
             (unsigned)(uintptr_t)seed, i, (unsigned)(uintptr_t)seed, i, (unsigned)(uintptr_t)seed, i);
    struct lsio_job_options o = api_options(text, 0);
    lsio_job *job = NULL;
    wrong += polled_submit(api_context, &o, &job, NULL) != 0 || polled_wait(job) != 0;
    polled_destroy(job);
  }
  return (void *)(uintptr_t)wrong;
}

/* Each line is whole and of one job: who said something once says all that has this number. */
static void many_threads(void **state) {
  (void)state;
  mute();
  api_clients(client);
  assert_int_equal(unmute(), 0);
  assert_int_equal(taken.n, 4 * 10 * 102);
  static char said[64][16];
  memset(said, 0, sizeof said);
  for (size_t i = 0; i < taken.n; i++) {
    const struct message *m = &taken.all[i];
    char who[16];
    assert_true(m->job >= 1 && m->job <= 40);
    snprintf(who, sizeof who, "%.*s", (int)strcspn(m->text, " \t"), m->text);
    if (!said[m->job][0]) snprintf(said[m->job], sizeof said[m->job], "%s", who);
    assert_string_equal(said[m->job], who);
  }
}

/* ---- one that blocks ---- */

static atomic_int stuck, let_go;

static void block(void *user, uint64_t job, int level, const char *text, size_t n) {
  (void)user, (void)level, (void)job;
  if (n != 5 || memcmp(text, "block", 5) != 0) return;
  atomic_store(&stuck, 1);
  while (!atomic_load(&let_go)) usleep(100);
}

/* While a worker of one job is in it, jobs come and go on the other threads. */
static void others_go_on(void **state) {
  (void)state;
  lsio_context_destroy(api_context);
  const struct lsio_context_options c = {.struct_size = sizeof c, .flags = LSIO_CONTEXT_NO_ENV, .log = block};
  static const char *const two[] = {"workers=2"}, *const one[] = {"workers=1"},
                    *const apart[] = {"workers=2", "merge=never"};
  struct lsio_context_options with = c;
  with.settings = two;
  with.n_settings = 1;
  assert_int_equal(lsio_context_create(&with, &api_context, NULL), 0);
  struct lsio_job_options o = api_options(API_COUNTS, 0);
  lsio_job *job = NULL;
  o.settings = apart;
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0); /* two threads are there */
  assert_int_equal(polled_wait(job), 0);
  polled_destroy(job);
  o = api_options("local lsio = require 'lsio'\n"
                  "return lsio.job { source = lsio.files('a.f32', { whole = true }),\n"
                  " transform = function() print 'block' end }", 0);
  o.settings = one;
  o.n_settings = 1;
  atomic_store(&stuck, 0);
  atomic_store(&let_go, 0);
  assert_int_equal(polled_submit(api_context, &o, &job, NULL), 0);
  while (!atomic_load(&stuck)) usleep(100);
  int status = 0;
  for (int i = 0; i < 5 && status == 0; i++) {
    struct lsio_job_options p = api_options(API_COUNTS, 0);
    p.settings = one;
    p.n_settings = 1;
    lsio_job *other = NULL;
    assert_int_equal(polled_submit(api_context, &p, &other, NULL), 0);
    struct polled end = {0};
    for (int tries = 0; tries < 100 && end.kind != POLLED_DONE; tries++) polled_take(other, &end, 1, 100);
    status = lsio_job_status(other);
    if (status != 0) atomic_store(&let_go, 1);
    polled_destroy(other);
  }
  assert_int_equal(lsio_job_status(job), LSIO_ERR_BUSY);
  atomic_store(&let_go, 1);
  assert_int_equal(status, 0);
  assert_int_equal(polled_wait(job), 0);
  polled_destroy(job);
}

/* Without it all goes where it went. */
static void to_stdout_and_stderr(void **state) {
  (void)state;
  lsio_context_destroy(api_context);
  const struct lsio_context_options c = {.struct_size = offsetof(struct lsio_context_options, log)};
  assert_int_equal(lsio_context_create(&c, &api_context, NULL), 0); /* of a header that did not know it */
  mute();
  lsio_job *job = api_submit("local lsio = require 'lsio'\n"
                             "return lsio.job { source = lsio.files('a.f32', { whole = true }),\n"
                             " transform = function() print 'out' lsio.log 'err' end }", 0);
  polled_wait(job);
  assert_int_equal(unmute(), 8);
  char text[2][8] = {{0}};
  for (int i = 0; i < 2; i++) {
    FILE *f = fopen(i ? "err" : "out", "r");
    assert_int_equal(fread(text[i], 1, 7, f), 4);
    fclose(f);
  }
  assert_string_equal(text[0], "out\n");
  assert_string_equal(text[1], "err\n");
  assert_int_equal(taken.n, 0);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {LOG_TEST(every_place_that_speaks), LOG_TEST(warnings),     LOG_TEST(loaded_scripts),
                                     LOG_TEST(many_threads),            LOG_TEST(others_go_on), LOG_TEST(to_stdout_and_stderr)};
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
