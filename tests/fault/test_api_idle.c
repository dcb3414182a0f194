/* What a context costs while nobody asks for anything, and whether it grows with what it has done.
 * LSIO_STRESS_SECONDS says how long it is watched (5), LSIO_STRESS_JOBS how many jobs run (10000). */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"

enum {
  FIRST = 1000, /* jobs after which nothing may be left that grows */
  GROWS_MOST = 4 << 20,
  LAYOUTS = 5000,
  SWITCHES_MOST = 5, /* of ours and of what looks at the clock once in a while */
  CPU_MOST_US = 1000
};

static long number_of(const char *name, long otherwise) {
  const char *text = getenv(name);
  const long n = text ? strtol(text, NULL, 10) : 0;
  return n > 0 ? n : otherwise;
}

/* A job over one range of a.f32; its results are polled. */
static lsio_job *run(const char *script, long i) {
  char word[40];
  const char *args[] = {word};
  snprintf(word, sizeof word, "--offset=%ld", i * 4096 % 397312);
  struct lsio_job_options o = api_options(script, LSIO_JOB_STREAM);
  o.args = args;
  o.n_args = 1;
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  if (polled_submit(api_context, &o, &job, &error) == 0 && polled_wait(job) == 0) return job;
  fprintf(stderr, "job %ld: %s\n", i, lsio_error_message(job ? lsio_job_error(job) : error));
  lsio_error_free(error);
  api_close(job);
  fail();
  return NULL;
}

#define ONE_RANGE                                                                                     \
  "local lsio = require 'lsio'\nreturn lsio.job { type = 'f32', params = { offset = 0 },\n"           \
  " source = function(p) return lsio.ranges { objects = { 'a.f32' }, offset = { p.offset }, length = 4096 } end,\n"
#define IDENTITY ONE_RANGE "}\n"
#define SUMMING ONE_RANGE " state = 'double %s;', reduce = 'sum',\n" \
  " transform = function(chunk, state) state.a = state.a + chunk.data[0] end }\n"

/* ---- no CPU ---- */

struct used {
  long cpu_us, switches;
};

static struct used used(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (struct used){(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec + u.ru_stime.tv_usec,
                       u.ru_nvcsw};
}

static struct used used_in(double seconds) {
  const struct timespec t = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
  const struct used before = used();
  nanosleep(&t, NULL);
  const struct used after = used();
  return (struct used){after.cpu_us - before.cpu_us, after.switches - before.switches};
}

/* Once in three times: on a machine that is busy what the job began may end late. */
static void sleeps(const char *when) {
  const long seconds = number_of("LSIO_STRESS_SECONDS", 5);
  struct used u;
  for (int i = 0; i < 3; i++) {
    used_in(0.1);
    u = used_in((double)seconds);
    if (u.cpu_us <= CPU_MOST_US && u.switches <= SWITCHES_MOST) return;
  }
  fail_msg("%s: in %ld s %ld us of CPU, %ld threads woke up", when, seconds, u.cpu_us, u.switches);
}

static void an_idle_context_takes_no_cpu(void **state) {
  (void)state;
  for (long i = 0; i < 10; i++) api_close(run(IDENTITY, i));
  sleeps("after its jobs");
}

static void a_job_that_has_ended_takes_no_cpu(void **state) {
  (void)state;
  lsio_job *job = run(IDENTITY, 0);
  sleeps("beside a job that has ended and is still there");
  api_close(job);
}

/* More results than wait to be polled; then somebody does. */
static void a_job_that_nobody_polls_takes_no_cpu(void **state) {
  (void)state;
  lsio_job *job = api_submit("local lsio = require 'lsio'\n"
                             "return lsio.job { source = lsio.files('a.f32', { chunk = 40 }), type = 'f32',\n"
                             " out_max = 1000, transform = function(chunk)\n"
                             " for i = 0, 999 do chunk.out[i] = chunk.data[0] end return 1000 end }\n",
                             LSIO_JOB_STREAM);
  sleeps("beside a job whose results nobody polls");
  struct lsio_progress p = {.struct_size = sizeof p};
  lsio_job_progress(job, &p);
  assert_true(p.steps >= 1000 && p.steps < p.steps_requested);
  assert_int_equal(polled_wait(job), 0);
  lsio_job_progress(job, &p);
  assert_int_equal(p.steps, API_VALUES / 10);
  api_close(job);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they keep what was freed */
/* ---- no growth ---- */

static long resident(void) {
  char text[128] = "";
  const int fd = open("/proc/self/statm", O_RDONLY);
  assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
  close(fd);
  return strtol(strchr(text, ' '), NULL, 10) * sysconf(_SC_PAGESIZE);
}

/* Runs so many jobs, of which the i-th is one(i). */
static void does_not_grow(void (*one)(long i)) {
  const long jobs = number_of("LSIO_STRESS_JOBS", 10000);
  for (long i = 0; i < FIRST; i++) one(i);
  const long before = resident();
  for (long i = FIRST; i < jobs; i++) one(i);
  const long grown = resident() - before;
  print_message("%ld KiB after %d jobs, %ld KiB more after %ld\n", before >> 10, FIRST, grown >> 10, jobs);
  assert_true(grown <= GROWS_MOST);
}

/* Among them are some that can't begin, and some that fail. */
static void one_of_some_kinds(long i) {
  char script[600];
  snprintf(script, sizeof script, SUMMING, "a");
  if (i % 10 == 9) {
    struct lsio_job_options o = api_options(
        "local lsio = require 'lsio'\nreturn lsio.job { source = lsio.files('missing') }\n", 0);
    lsio_job *job = NULL;
    assert_int_equal(polled_submit(api_context, &o, &job, NULL), LSIO_ERR_SOURCE);
  } else if (i % 10 == 8) {
    lsio_job *job = api_submit(API_HEAD " transform = function() error('no') end }", LSIO_JOB_STREAM);
    assert_int_equal(polled_wait(job), LSIO_ERR_TRANSFORM);
    api_close(job);
  } else {
    api_close(run(i % 2 ? IDENTITY : script, i));
  }
}

static void jobs_leave_nothing(void **state) {
  (void)state;
  does_not_grow(one_of_some_kinds);
}

/* Each with a struct of its own; LuaJIT never frees a C type. */
static void one_with_a_layout(long i) {
  char script[600], fields[60];
  snprintf(fields, sizeof fields, "a, b%ld[%ld]", i % LAYOUTS, 1 + i % LAYOUTS % 7);
  snprintf(script, sizeof script, SUMMING, fields);
  api_close(run(script, i));
}

static void layouts_leave_little(void **state) {
  (void)state;
  does_not_grow(one_with_a_layout);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(an_idle_context_takes_no_cpu),
      API_TEST(a_job_that_has_ended_takes_no_cpu),
                                     API_TEST(a_job_that_nobody_polls_takes_no_cpu),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
      API_TEST(jobs_leave_nothing),
      API_TEST(layouts_leave_little),
#endif
  };
  return cmocka_run_group_tests_name("idle", tests, api_setup, api_teardown);
}
