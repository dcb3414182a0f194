/* Results in blocks that several threads hold, one by one, and let go of in any order: while the job runs, when
 * it has ended, and when its context is gone. Without Lua, for ThreadSanitizer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api_job.h"

#ifdef __SANITIZE_THREAD__
#define RESULTS 100000u
#else
#define RESULTS 1000000u
#endif
#define THREADS 4
#define HELD 50000 /* results at a time, by each thread */
#define LONGEST 300

static int64_t offsets[RESULTS], lengths[RESULTS];
static uint32_t objects[RESULTS];
static atomic_uchar seen[RESULTS];

static uint64_t draw(uint64_t *seed) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return *seed >> 33;
}

/* ---- threads that hold ---- */

struct held {
  lsio_block *block;
  const char *data;
  const struct lsio_result *result;
};

struct parcel { /* what came by one event for one thread */
  struct parcel *next;
  size_t n;
  struct held held[];
};

struct holder {
  pthread_t thread;
  uint64_t seed;
  pthread_mutex_t mutex; /* of these: */
  pthread_cond_t cond;
  struct parcel *first;
  bool last;
  /* the thread's own: */
  size_t n;
  struct held bag[HELD];
  unsigned wrong;
};
static struct holder holders[THREADS];

static void let_go(struct holder *h, struct held x) {
  const struct lsio_result *r = x.result;
  const bool lies_so = r->flags & LSIO_RESULT_UNALIGNED; /* several are read together */
  const bool fine = r->step < RESULTS && r->tag == 0 && (int64_t)r->length == lengths[r->step] &&
                    ((uintptr_t)(x.data + r->begin) % 64 != 0) == lies_so &&
                    memcmp(x.data + r->begin, (const char *)api_values + offsets[r->step], r->length) == 0;
  if (!fine || atomic_fetch_add(&seen[r->step], 1)) h->wrong++;
  lsio_block_release(x.block);
}

/* One comes, and if there are many, any other one goes. */
static void hold(struct holder *h, struct held x) {
  if (h->n < HELD) {
    h->bag[h->n++] = x;
    return;
  }
  const size_t i = draw(&h->seed) % HELD;
  let_go(h, h->bag[i]);
  h->bag[i] = x;
}

static struct parcel *wait_for_parcels(struct holder *h) {
  pthread_mutex_lock(&h->mutex);
  while (!h->first && !h->last) pthread_cond_wait(&h->cond, &h->mutex);
  struct parcel *p = h->first;
  h->first = NULL;
  pthread_mutex_unlock(&h->mutex);
  return p;
}

static void *work(void *arg) {
  struct holder *h = arg;
  for (struct parcel *p; (p = wait_for_parcels(h));) {
    while (p) {
      struct parcel *next = p->next;
      for (size_t i = 0; i < p->n; i++) hold(h, p->held[i]);
      free(p);
      p = next;
    }
  }
  while (h->n) {
    const size_t i = draw(&h->seed) % h->n;
    const struct held x = h->bag[i];
    h->bag[i] = h->bag[--h->n];
    let_go(h, x);
  }
  return NULL;
}

static void send(struct holder *h, struct parcel *p, bool last) {
  pthread_mutex_lock(&h->mutex);
  if (p) {
    p->next = h->first;
    h->first = p;
  }
  h->last = last;
  pthread_cond_signal(&h->cond);
  pthread_mutex_unlock(&h->mutex);
}

static void start_holders(void) {
  for (size_t i = 0; i < THREADS; i++) {
    struct holder *h = &holders[i];
    *h = (struct holder){.seed = i + 1};
    pthread_mutex_init(&h->mutex, NULL);
    pthread_cond_init(&h->cond, NULL);
    assert_int_equal(pthread_create(&h->thread, NULL, work, h), 0);
  }
}

static void join_holders(void) {
  unsigned wrong = 0;
  for (size_t i = 0; i < THREADS; i++) send(&holders[i], NULL, true);
  for (size_t i = 0; i < THREADS; i++) {
    struct holder *h = &holders[i];
    assert_int_equal(pthread_join(h->thread, NULL), 0);
    pthread_cond_destroy(&h->cond);
    pthread_mutex_destroy(&h->mutex);
    wrong += h->wrong;
  }
  if (wrong) fail_msg("%u results are wrong, or came twice", wrong);
}

/* Each of an event's results to any of the threads, which has a hold of its own on the block. */
static void deal(const struct lsio_event *e, uint64_t *seed) {
  struct parcel *parcels[THREADS];
  for (size_t i = 0; i < THREADS; i++) {
    parcels[i] = malloc(sizeof *parcels[i] + e->n * sizeof parcels[i]->held[0]);
    assert_non_null(parcels[i]);
    parcels[i]->n = 0;
  }
  for (uint32_t i = 0; i < e->n; i++) {
    struct parcel *p = parcels[draw(seed) % THREADS];
    lsio_block_retain(e->block);
    p->held[p->n++] = (struct held){e->block, e->data, &e->results[i]};
  }
  for (size_t i = 0; i < THREADS; i++) send(&holders[i], parcels[i], false);
  lsio_block_release(e->block);
}

/* ---- jobs ---- */

static lsio_queue *queue;

static lsio_job *submit(uint32_t n) {
  static const char *const name[] = {"a.f32"};
  const struct lsio_request_options r = {.struct_size = sizeof r, .flags = LSIO_REQUEST_BORROW, .objects = name,
                                         .n_objects = 1, .n = n, .object = objects, .offset = offsets,
                                         .length = lengths};
  struct lsio_job_options o = api_options("", LSIO_JOB_STREAM);
  lsio_request *request = NULL;
  lsio_job *job = NULL;
  assert_int_equal(lsio_request_create(&r, &request, NULL), 0);
  o.script = NULL;
  o.request = request;
  o.queue = queue;
  assert_int_equal(lsio_submit(api_context, &o, &job, NULL), 0);
  lsio_request_release(request);
  return job;
}

/* Deals results until so many have come, or the job has ended; how many came. */
static uint32_t take(uint32_t most, bool *ended) {
  uint64_t seed = 99;
  uint32_t n = 0;
  for (*ended = false; !*ended && n < most;) {
    struct lsio_event e[8];
    const int got = lsio_queue_take(queue, e, 8, -1);
    for (int i = 0; i < got; i++) {
      if (e[i].kind == LSIO_EVENT_DONE) *ended = true;
      if (e[i].kind == LSIO_EVENT_RESULTS) n += e[i].n, deal(&e[i], &seed);
    }
  }
  return n;
}

static int begin(void **state) {
  uint64_t seed = 7;
  for (size_t i = 0; i < RESULTS; i++) {
    lengths[i] = (int64_t)(draw(&seed) % LONGEST);
    offsets[i] = (int64_t)(draw(&seed) % (sizeof api_values - LONGEST));
    atomic_store(&seen[i], 0);
  }
  const int rc = api_begin(state);
  return rc ? rc : lsio_queue_create(api_context, NULL, &queue, NULL);
}

static int end(void **state) {
  lsio_queue_release(queue);
  queue = NULL;
  return api_end(state); /* is anything not given back? */
}

static uint64_t lent(void) {
  struct lsio_context_stats s = {.struct_size = sizeof s};
  lsio_context_get_stats(api_context, &s);
  return s.memory_lent;
}

static void run(uint32_t n) {
  bool ended;
  start_holders();
  lsio_job *job = submit(n);
  assert_int_equal(take(UINT32_MAX, &ended), n);
  assert_int_equal(lsio_job_status(job), 0);
  lsio_job_release(job);
  join_holders();
  for (uint32_t i = 0; i < n; i++) assert_int_equal(atomic_exchange(&seen[i], 0), 1);
}

static void many_results_from_four_threads(void **state) {
  (void)state;
  run(RESULTS / 100); /* as much as threads of the context keep for themselves */
  const uint64_t before = lent();
  run(RESULTS);
  assert_int_equal(lent(), before);
}

/* With the job cancelled, its queue and its context gone, they are still whole. */
static void held_beyond_their_context(void **state) {
  (void)state;
  bool ended;
  start_holders();
  lsio_job *job = submit(RESULTS);
  const uint32_t n = take(RESULTS / 4, &ended);
  assert_in_range(n, 1, RESULTS);
  lsio_job_release(job);
  lsio_queue_release(queue);
  queue = NULL;
  lsio_context_destroy(api_context);
  api_context = NULL;
  join_holders();
  uint32_t found = 0;
  for (uint32_t i = 0; i < RESULTS; i++) found += atomic_load(&seen[i]);
  assert_int_equal(found, n);
}

int main(void) {
  alarm(900);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(many_results_from_four_threads, begin, end),
      cmocka_unit_test_setup_teardown(held_beyond_their_context, begin, end),
  };
  return cmocka_run_group_tests(tests, api_setup, api_teardown);
}
