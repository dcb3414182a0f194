/* Sources that take long to be listed: jobs of other threads go on meanwhile, and find a CPU. The linker's
 * --wrap puts this program between LSIO and the C library (tests/CMakeLists.txt). */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"
#include "polled.h"
#include "seams/os.h"
#include "seams/store.h"

#define PATIENCE_S 30 /* what has not happened by then never will */

#define SUM(source)                                                              \
  "local lsio = require 'lsio'\n"                                                \
  "return lsio.job { type = 'f32', params = { ranges = { '', 'a list' } },\n"    \
  " source = " source ", state = 'double n;', reduce = { n = 'sum' },\n"         \
  " transform = function(chunk, state) state.n = state.n + chunk.n end,\n"       \
  " done = function(r) assert(r.n > 0) end }\n"

static bool soon(sem_t *s) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  t.tv_sec += PATIENCE_S;
  return sem_timedwait(s, &t) == 0;
}

/* A job on a thread of its own, from submit to end. */
struct errand {
  struct lsio_job_options o;
  pthread_t thread;
  int status;
  sem_t ended;
};

static void *go(void *arg) {
  struct errand *e = arg;
  lsio_job *job = NULL;
  e->status = polled_submit(api_context, &e->o, &job, NULL);
  if (job) e->status = polled_wait(job);
  polled_destroy(job);
  sem_post(&e->ended);
  return NULL;
}

static void start(struct errand *e) {
  e->status = 1;
  assert_int_equal(sem_init(&e->ended, 0, 0), 0);
  assert_int_equal(pthread_create(&e->thread, NULL, go, e), 0);
}

static void join(struct errand *e) {
  pthread_join(e->thread, NULL);
  sem_destroy(&e->ended);
}

/* ---- a pattern ---- */

/* Who watches the listing holds it up until it is told to go on. */
struct gate {
  sem_t reached, open;
  bool told; /* in time */
};

static int hold(void *user, uint64_t listed, uint64_t looked_at) {
  (void)listed, (void)looked_at;
  struct gate *g = user;
  sem_post(&g->reached);
  if (!g->told) g->told = soon(&g->open);
  return !g->told;
}

static void job_ends_while_a_pattern_is_listed(void **state) {
  (void)state;
  struct gate gate = {.told = false};
  sem_init(&gate.reached, 0, 0);
  sem_init(&gate.open, 0, 0);
  struct errand slow = {.o = api_options(SUM("lsio.files('*.f32', { chunk = 4000 })"), 0)};
  slow.o.planning = hold;
  slow.o.planning_user = &gate;
  start(&slow);
  assert_true(soon(&gate.reached));
  struct errand other = {.o = api_options(SUM("lsio.files('a.f32')"), 0)};
  start(&other);
  const bool ended = soon(&other.ended);
  sem_post(&gate.open);
  join(&slow);
  join(&other);
  assert_true(ended && gate.told);
  assert_int_equal(slow.status, 0);
  assert_int_equal(other.status, 0);
  sem_destroy(&gate.reached);
  sem_destroy(&gate.open);
}

/* ---- a list ---- */

/* Both of one loaded script, whose functions and entries lie side by side in the coordinator. */
static void job_ends_while_a_list_is_read(void **state) {
  (void)state;
  static const char text[] =
      SUM("function(p) return p.ranges == '' and lsio.files('a.f32')\n"
          "   or lsio.ranges { file = p.ranges } end");
  static const char *const list[] = {"--ranges=list.csv"};
  struct lsio_job_options o = api_options(text, 0);
  lsio_script *script = NULL;
  assert_int_equal(lsio_script_load(api_context, &o, &script, NULL), 0);
  o.script = NULL;
  o.loaded = script;
  struct errand slow = {.o = o}, other = {.o = o};
  slow.o.args = list;
  slow.o.n_args = 1;
  assert_int_equal(mkfifo("list.csv", 0600), 0);
  start(&slow);
  FILE *f = fopen("list.csv", "w"); /* waits until it is being read */
  assert_non_null(f);
  start(&other);
  const bool ended = soon(&other.ended);
  fputs("path,offset,length\na.f32,0,400\n", f);
  fclose(f);
  join(&slow);
  join(&other);
  unlink("list.csv");
  assert_true(ended);
  assert_int_equal(slow.status, 0);
  assert_int_equal(other.status, 0);
  lsio_script_release(script);
}

/* ---- the CPU ---- */

static unsigned yields;
int __wrap_sched_yield(void);
int __wrap_sched_yield(void) {
  yields++;
  return 0;
}

static uint64_t passed_ns, each_ns; /* by how much the time goes on when it is asked for */
static uint64_t ask(void *user) {
  (void)user;
  return passed_ns += each_ns;
}

#define FILES 1000u
static char names[FILES][24];
static const char *listed[FILES];
static unsigned n_listed;

static int add(void *ctx, const char *name, size_t length, bool regular) {
  (void)ctx, (void)length, (void)regular;
  if (n_listed < FILES) snprintf(names[n_listed], sizeof names[0], "%s", name);
  n_listed++;
  return 0;
}

/* Lists the files and looks at them, in one thread; how often the CPU was offered to others. */
static void offers(uint64_t ns, unsigned *listing, unsigned *looking) {
  static struct lsi_object_info infos[FILES];
  const struct lsi_clock clock = {.now_ns = ask};
  struct lsi_error err;
  lsi_error_clear(&err);
  n_listed = yields = 0;
  passed_ns = 1;
  each_ns = ns;
  lsi_os_set_clock(&clock);
  const int rc = lsi_stores[0]->list(NULL, "many/*", NULL, add, NULL, &err);
  *listing = yields;
  for (unsigned i = 0; i < FILES; i++) listed[i] = names[i];
  const int rc2 = lsi_stores[0]->stat_many(NULL, listed, FILES, infos, NULL, false, &err);
  *looking = yields - *listing;
  lsi_os_set_clock(NULL);
  assert_int_equal(rc, 0);
  assert_int_equal(rc2, 0);
  assert_int_equal(n_listed, FILES);
}

static void long_listing_offers_its_cpu(void **state) {
  (void)state;
  assert_int_equal(mkdir("many", 0700), 0);
  for (unsigned i = 0; i < FILES; i++) {
    char name[24];
    snprintf(name, sizeof name, "many/%u", i);
    FILE *f = fopen(name, "w");
    if (!f || fclose(f)) fail_msg("%s", name);
  }
  unsigned listing, looking;
  offers(300000, &listing, &looking); /* whenever it asks, it is time to */
  assert_in_range(listing, FILES / 64 - 1, FILES / 64 + 2);
  assert_in_range(looking, FILES / 256 - 1, FILES / 256);
  offers(100000, &listing, &looking);
  assert_in_range(listing, FILES / 64 / 3 - 1, FILES / 64 / 3 + 2);
  offers(1000, &listing, &looking); /* it is soon over */
  assert_int_equal(listing + looking, 0);
  for (unsigned i = 0; i < FILES; i++) unlink(listed[i]);
  rmdir("many");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      API_TEST(job_ends_while_a_pattern_is_listed),
      API_TEST(job_ends_while_a_list_is_read),
      API_TEST(long_listing_offers_its_cpu),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
