/* The consumer of a queue of many jobs is woken once for what comes together, and still for all of it: here it takes
 * only when it has been woken, once each time. */
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/wakes.h"
#include "api_job.h"

enum { WORKERS = 2, OTHERS = WORKERS * LSI_WAKE_RUNNING + 4, EVENTS = 512, PLACES = 400 };

static lsio_context *context; /* of so many workers */
static lsio_queue *queue;
static bool by_fd;            /* how the consumer is woken */
static sem_t woken;
static atomic_int wakes, destroyed;
static float places[PLACES][100];

static void wake(void *user) {
  (void)user;
  atomic_fetch_add(&wakes, 1);
  sem_post(&woken);
}

static void destroy(void *user) { atomic_fetch_add((atomic_int *)user, 1); }

static void open_queue(bool fd) {
  static const char *const two_workers[] = {"workers=2"};
  const struct lsio_context_options c = {.struct_size = sizeof c, .flags = LSIO_CONTEXT_NO_ENV,
                                         .settings = two_workers, .n_settings = 1};
  const struct lsio_queue_options q = {.struct_size = sizeof q, .notify = fd ? NULL : wake,
                                       .notify_destroy = destroy, .notify_user = &destroyed};
  by_fd = fd;
  sem_init(&woken, 0, 0);
  atomic_store(&wakes, 0);
  atomic_store(&destroyed, 0);
  assert_int_equal(lsio_context_create(&c, &context, NULL), 0);
  assert_int_equal(lsio_queue_create(context, &q, &queue, NULL), 0);
}

static void close_queue(void) {
  lsio_queue_release(queue);
  lsio_context_destroy(context);
  assert_int_equal(atomic_load(&destroyed), 1);
  sem_destroy(&woken);
}

/* ---- jobs ---- */

static lsio_job *submit(struct lsio_job_options *o, void *cookie) {
  lsio_job *job = NULL;
  lsio_error *error = NULL;
  o->queue = queue;
  o->cookie = cookie;
  if (lsio_submit(context, o, &job, &error)) fail_msg("%s", error ? lsio_error_message(error) : "no error object");
  return job;
}

static lsio_job *submit_text(const char *script, const struct lsio_transform *transform, uint32_t flags) {
  struct lsio_job_options o = api_options(script, flags);
  o.transform = transform;
  return submit(&o, NULL);
}

static lsio_job *read_to(float *place) {
  const char *path = "a.f32";
  const int64_t offset = 0, length = 400;
  const struct lsio_request_options r = {.struct_size = sizeof r, .objects = &path, .n_objects = 1, .n = 1,
                                         .offset = &offset, .length = &length};
  lsio_request *request;
  assert_int_equal(lsio_request_create(&r, &request, NULL), 0);
  struct lsio_job_options o = {.struct_size = sizeof o, .flags = LSIO_JOB_NO_ENV | LSIO_JOB_NO_STATE,
                               .request = request, .output = place, .output_length = 400};
  lsio_job *job = submit(&o, place);
  lsio_request_release(request);
  return job;
}

static atomic_bool stay;
static atomic_uint staying; /* workers, a bit each */

static int32_t keep_worker(const lsio_step *s, void *state) {
  (void)state;
  atomic_fetch_or(&staying, 1u << s->worker);
  while (atomic_load(&stay)) nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
  return 0;
}

static int32_t rest(const lsio_step *s, void *state) {
  (void)s;
  (void)state;
  nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
  return 0;
}

#define LONG                                                                                     \
  "local lsio = require 'lsio'\n"                                                                \
  "return lsio.job { source = lsio.files('a.f32', { chunk = 40 }), type = 'f32', merge = 'never' }\n"

static lsio_job *others[OTHERS];
static int n_others, others_ended;

/* They go on for long, a step now and then, and have nothing to tell. */
static void begin_others(void) {
  const struct lsio_transform t = {.struct_size = sizeof t, .step = rest};
  static const char *const one_at_a_time[] = {"workers=1", "queue-depth=1"};
  struct lsio_job_options o = api_options(LONG, 0);
  o.transform = &t;
  o.settings = one_at_a_time;
  for (n_others = others_ended = 0; n_others < OTHERS;) others[n_others++] = submit(&o, NULL);
}

static bool is_other(const lsio_job *job) {
  int i = 0;
  while (i < n_others && others[i] != job) i++;
  return i < n_others;
}

/* ---- the consumer ---- */

static lsio_job *mine[PLACES]; /* that it holds, of those that are to end */
static int n_mine;

static void let_go(const lsio_job *job) {
  for (int i = 0; i < n_mine; i++)
    if (mine[i] == job) mine[i--] = mine[--n_mine];
}

static void wait_until_woken(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 60;
  struct pollfd p = {.fd = by_fd ? lsio_queue_fd(queue) : -1, .events = POLLIN};
  if (by_fd ? poll(&p, 1, 60000) != 1 : sem_timedwait(&woken, &until) != 0) fail_msg("nobody wakes the consumer");
}

/* Takes once; how many jobs have ended, without those others. */
static int take(size_t max) {
  struct lsio_event e[EVENTS];
  const int n = lsio_queue_take(queue, e, max, 0);
  int ends = 0;
  assert_true(n >= 0);
  for (int i = 0; i < n; i++) {
    lsio_block_release(e[i].block);
    if (e[i].kind != LSIO_EVENT_DONE) continue;
    const float *place = e[i].cookie;
    if (place && lsio_job_status(e[i].job) == 0 && memcmp(place, api_values, 400) != 0) fail_msg("it read other data");
    if (is_other(e[i].job)) others_ended++;
    else ends++;
    let_go(e[i].job);
    lsio_job_release(e[i].job);
  }
  return ends;
}

/* Of n, until there are no more than `leave`, which it returns. */
static int take_ends(int n, int leave) {
  while (n > leave) {
    wait_until_woken();
    n -= take(EVENTS);
  }
  assert_true(n >= 0);
  return n;
}

static void end_others(void) {
  for (int i = 0; i < n_others && !others_ended; i++) lsio_cancel(others[i]);
  while (others_ended < n_others) {
    wait_until_woken();
    assert_int_equal(take(EVENTS), 0);
  }
  n_others = 0;
}

/* ---- what is woken for ---- */

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Jobs that were submitted before the first one has ended. All but the first wake for them come at least LSI_WAKE_NS
 * after the one before, or when there is as much to take as is worth one at any time. */
static void read_all_at_once(void) {
  const struct lsio_transform t = {.struct_size = sizeof t, .step = keep_worker};
  open_queue(false);
  atomic_store(&stay, true);
  atomic_store(&staying, 0);
  submit_text(API_APART " }", &t, 0);
  while (atomic_load(&staying) != 3) sched_yield();
  for (int i = 0; i < PLACES; i++) read_to(places[i]);
  assert_int_equal(atomic_load(&wakes), 0);
  atomic_store(&stay, false);
  int left = take_ends(PLACES + 1, PLACES);
  const uint64_t since = now_ns();
  const int before = atomic_load(&wakes);
  left = take_ends(left, PLACES / 2); /* with few each is told of */
  const int rung = atomic_load(&wakes) - before;
  const uint64_t most = 2 + (now_ns() - since) / LSI_WAKE_NS + PLACES / LSI_WAKE_JOBS;
  if ((uint64_t)rung > most) fail_msg("%d wakes, more than %d", rung, (int)most);
  take_ends(left, 0);
  close_queue();
}

static void once_for_what_comes_together(void **state) {
  (void)state;
  for (int i = 0; i < 20; i++) read_all_at_once();
}

/* When the last of some jobs have ended nobody comes by who would wake the consumer. */
static void for_the_last_ones_too(void **state) {
  (void)state;
  open_queue(*state != NULL);
  begin_others();
  for (int round = 0; round < 30 && !others_ended; round++) {
    const int n = 1 + round * 7 % 60;
    for (int i = 0; i < n; i++) read_to(places[i]);
    take_ends(n, 0);
  }
  end_others();
  close_queue();
}

/* ---- all of it at once ---- */

static uint64_t dice;

static unsigned throw(unsigned sides) {
  dice = dice * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(dice >> 33) % sides;
}

static int32_t copy_slowly(const lsio_step *s, void *state) {
  (void)state;
  memcpy(s->out, s->data, s->bytes);
  if (s->index % 100 == 0) nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL);
  return 0;
}

/* One of many kinds. False: nobody will be told of its end. */
static bool submit_some(float *place) {
  const struct lsio_transform slow = {.struct_size = sizeof slow, .step = copy_slowly};
  const unsigned kind = throw(100);
  lsio_job *job;
  if (kind < 2) job = submit_text(API_HEAD " }", &slow, LSIO_JOB_STREAM);
  else if (kind < 6) job = submit_text("error('no job')", NULL, 0);
  else job = read_to(place);
  if (kind >= 94) lsio_cancel(job);
  if (kind < 96) mine[n_mine++] = job;
  else lsio_job_release(job);
  return kind < 96;
}

/* So many are to end at a time. Stops in the middle, or when all have. */
static void serve(int jobs, int at_once, bool stops) {
  int going = 0, n = 0;
  while (n < jobs || going) {
    for (; n < jobs && going < at_once; n++) going += submit_some(places[n % PLACES]);
    if (stops && n == jobs) break;
    if (!going) continue;
    wait_until_woken();
    if (throw(20) == 0) nanosleep(&(struct timespec){.tv_nsec = throw(400) * 1000}, NULL);
    going -= take(throw(4) ? EVENTS : 1 + throw(8));
  }
  if (throw(2)) lsio_queue_release(queue), queue = NULL;
  while (n_mine) lsio_job_release(mine[--n_mine]);
}

/* Others may go on, and something may be held back, when the queue is released and its context destroyed. */
static void whatever_happens(void **state) {
  dice = (uint64_t)now_ns();
  print_message("from %llu\n", (unsigned long long)dice);
  for (int i = 0; i < 20; i++) {
    open_queue(*state != NULL);
    serve(20 + (int)throw(400), 1 + (int)throw(100), throw(2));
    close_queue();
  }
}

int main(void) {
  alarm(600);
  static bool fd = true;
  const struct CMUnitTest tests[] = {
      API_TEST(once_for_what_comes_together),
      API_TEST(for_the_last_ones_too),
      cmocka_unit_test_prestate_setup_teardown(for_the_last_ones_too, api_begin, api_end, &fd),
      API_TEST(whatever_happens),
      cmocka_unit_test_prestate_setup_teardown(whatever_happens, api_begin, api_end, &fd),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
