/* Runs in the background beside normal ones on one crew, by turns as in test_crew.c: what they get, and that all
 * of them end. Seeds as in test_engine.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/loop/crew.h"
#include "engine_job.h"

#define RUNS 8
#define THREADS 3
#define UNITS 400
#define UNIT 4096
#define WINDOW 100

struct one {
  struct engine_job j;
  struct lsi_run *run;
  uint64_t before, begun; /* units: when all had started, and so far */
};

/* Of one thread: how many units in the background were among the first i. */
struct handed_out {
  uint32_t n, of_background[RUNS * UNITS + 1];
};

struct world {
  struct engine_job dice; /* whose random numbers all of this comes from */
  struct lsi_sim sim;
  struct lsi_sim_object object;
  struct engine_time time;
  struct lsi_crew *crew;
  struct one runs[RUNS]; /* the normal ones first */
  uint32_t n, normal;
  struct handed_out threads[THREADS];
  uint8_t order[RUNS * UNITS]; /* of units of normal runs */
  uint32_t n_normal, n_background; /* units */
};

static uint64_t draw(struct world *w, uint64_t n) { return engine_job_random(&w->dice, n); }

static void begin(struct world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  w->dice.rng = seed;
  w->object.size = w->object.real_size = (uint64_t)UNITS * 2 * UNIT;
  snprintf(w->object.name, sizeof w->object.name, "object");
  w->sim = (struct lsi_sim){.seed = seed, .objects = &w->object, .n_objects = 1, .by_clock = true};
  assert_int_equal(lsi_crew_create(NULL, true, &w->crew), 0);
  engine_time_begin(&w->time);
}

/* Of equal units that lie apart, with nothing to go wrong. */
static void make(struct world *w, struct one *o, uint32_t n, uint32_t bytes, uint32_t workers) {
  static const uint64_t device_ids[] = {0};
  struct engine_job *j = &o->j;
  lsi_spec_init(&j->spec);
  struct lsi_request *r = j->spec.request = lsi_request_create();
  const struct lsi_object_info info = lsi_sim_info(&w->object, 0);
  struct lsi_error e;
  lsi_error_clear(&e);
  uint32_t index;
  assert_int_equal(lsi_request_add_object(r, w->object.name, &info, &index, &e), 0);
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t object = 0;
    const int64_t offset = (int64_t)i * 2 * bytes, length = bytes, tag = 0;
    assert_int_equal(lsi_request_add_step(r, 1, &object, &offset, &length, &tag, &e), 0);
  }
  struct lsi_device_model model;
  lsi_device_preset(LSI_DEVICE_NVME, &model);
  const struct lsi_plan_options options = {.merge = LSI_MERGE_NEVER, .n_devices = 1, .devices = &model};
  assert_int_equal(lsi_plan_build(r, &options, &j->plan, &e), 0);
  assert_int_equal(j->plan->n_units, n);
  j->spec.type = (struct lsi_dtype){LSI_U8, false};
  j->spec.identity = true;
  j->config = (struct lsi_run_config){.spec = &j->spec, .plan = j->plan, .sink_type = j->spec.type,
                                      .workers = workers, .share = 8u << 20, .stores = lsi_sim_stores,
                                      .backend = &lsi_backend_sim, .backend_user = &w->sim,
                                      .crew = w->crew, .device_ids = device_ids};
}

static void start(struct one *o) { assert_int_equal(lsi_run_start(&o->j.config, &o->run, NULL), 0); }

static void one_turn(struct world *w, uint32_t member) {
  uint64_t wait_ns;
  if (lsi_crew_turn(w->crew, member, &wait_ns) == LSI_CREW_WAITS) w->time.now += 1000;
}

static void end_run(struct world *w, struct one *o, int code) {
  for (uint32_t k = 0; !lsi_run_ended(o->run); k++) {
    if (k > 1000000) fail_msg("a run never ends");
    one_turn(w, (uint32_t)draw(w, lsi_crew_size(w->crew)));
  }
  assert_int_equal(lsi_run_join(o->run, NULL), code);
  lsi_run_destroy(o->run);
  engine_job_free(&o->j);
}

static void end(struct world *w) {
  engine_time_end();
  lsi_crew_destroy(w->crew);
}

static uint64_t units_begun(const struct one *o) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < o->run->n_workers; i++) bytes += o->run->workers[i].served;
  return bytes / (2 * UNIT); /* a unit counts as its bytes and 4 KiB */
}

/* In any order, some when others are under way. Returns when all threads know all of them. */
static void start_one_by_one(struct world *w) {
  const uint32_t first = (uint32_t)draw(w, w->n);
  for (uint32_t i = 0; i < w->n; i++) {
    start(&w->runs[(first + i) % w->n]);
    const uint32_t n = lsi_crew_size(w->crew);
    for (uint64_t turns = i ? draw(w, 120) : 0; turns; turns--) one_turn(w, (uint32_t)draw(w, n));
  }
  for (uint32_t i = 0; i < lsi_crew_size(w->crew); i++) one_turn(w, i);
  for (uint32_t k = 0; k < w->n; k++) w->runs[k].before = w->runs[k].begun = units_begun(&w->runs[k]);
}

/* Notes what was begun in a turn of that thread. False: one run has few left, which may be another's already. */
static bool note(struct world *w, struct handed_out *h) {
  bool all = true;
  for (uint32_t k = 0; k < w->n; k++) {
    struct one *o = &w->runs[k];
    const bool back = k >= w->normal;
    const uint64_t now = units_begun(o);
    for (; o->begun < now; o->begun++) {
      if (back) w->n_background++;
      else w->order[w->n_normal++] = (uint8_t)k;
      h->of_background[h->n + 1] = h->of_background[h->n] + back;
      h->n++;
    }
    all &= now < UNITS * 9 / 10;
  }
  return all;
}

/* While normal runs had more units left than there is room for in flight. */
static void check_thread(const struct handed_out *h, uint64_t seed) {
  for (uint32_t i = WINDOW; i <= h->n; i++) {
    const uint32_t part = h->of_background[i] - h->of_background[i - WINDOW];
    /* One of 17 are five or six of a hundred, or four while they wait for some that are in flight. */
    if (part < 4 || part > 6)
      fail_msg("seed %llu: %u of the %u units before the %u-th of a thread are of runs in the background",
               (unsigned long long)seed, part, WINDOW, i);
  }
}

/* Among themselves the normal ones get equal parts, and so do those in the background. */
static void check_equal(struct world *w, uint64_t seed) {
  uint32_t count[RUNS] = {0};
  for (uint32_t i = 0; i < w->n_normal; i++) {
    count[w->order[i]]++;
    if (i >= WINDOW) count[w->order[i - WINDOW]]--;
    for (uint32_t k = 0; i + 1 >= WINDOW && k < w->normal; k++)
      if (count[k] * w->normal * 10 < WINDOW * 8 || count[k] * w->normal * 10 > WINDOW * 12)
        fail_msg("seed %llu: %u of the %u normal units before the %u-th are of run %u of %u",
                 (unsigned long long)seed, count[k], WINDOW, i, k, w->normal);
  }
  const uint64_t others = w->n - w->normal, spread = THREADS * others; /* one more or less a thread */
  for (uint32_t k = w->normal; k < w->n; k++) {
    const uint64_t had = (w->runs[k].begun - w->runs[k].before) * others;
    if (had + spread < w->n_background || had > w->n_background + spread)
      fail_msg("seed %llu: of %u units in the background run %u had %llu", (unsigned long long)seed,
               w->n_background, k, (unsigned long long)(had / others));
  }
}

static void one_seed(uint64_t seed) {
  static struct world w;
  begin(&w, seed);
  w.sim.delay_max = (uint32_t)draw(&w, 3) * 20000;
  w.n = 2 + (uint32_t)draw(&w, RUNS - 1);
  w.normal = 1 + (uint32_t)draw(&w, w.n - 1);
  const uint32_t workers = 1 + (uint32_t)draw(&w, THREADS);
  for (uint32_t i = 0; i < w.n; i++) {
    make(&w, &w.runs[i], UNITS, UNIT, workers);
    w.runs[i].j.config.background = i >= w.normal;
  }
  start_one_by_one(&w);
  uint32_t member;
  do {
    member = (uint32_t)draw(&w, lsi_crew_size(w.crew));
    one_turn(&w, member);
  } while (note(&w, &w.threads[member]));
  for (uint32_t i = 0; i < workers; i++) check_thread(&w.threads[i], seed);
  check_equal(&w, seed);
  for (uint32_t i = 0; i < w.n; i++) end_run(&w, &w.runs[i], 0); /* nobody is left behind */
  end(&w);
}

static void the_background_gets_what_others_leave(void **state) {
  (void)state;
  engine_job_seeds(one_seed, 20, 100);
}

/* One large unit in the background has to be made up for by a thousand empty ones, for which nobody ever waits;
 * but the end of a run that is stopped does not wait for that. */
static void a_stopped_run_in_the_background_ends(void **state) {
  (void)state;
  static struct world w;
  begin(&w, 1);
  struct one *normal = &w.runs[0], *back = &w.runs[1];
  make(&w, normal, UNITS, 0, 1);
  make(&w, back, 6, 64 * UNIT, 1);
  back->j.config.background = true;
  start(normal);
  start(back);
  const struct lsi_worker *n = &normal->run->workers[0], *b = &back->run->workers[0];
  while (!b->served) one_turn(&w, 0);
  const uint64_t before = n->served; /* each unit counts as 4 KiB */
  for (uint32_t i = 0; i < 100; i++) one_turn(&w, 0);
  const uint64_t meanwhile = n->served;
  assert_int_equal(meanwhile - before, 100 * LSI_ALIGN); /* it gives way */
  assert_int_equal(b->served, 65 * UNIT);
  lsi_run_cancel(back->run);
  while (!lsi_run_ended(back->run)) one_turn(&w, 0);
  assert_true(n->served - meanwhile <= 20 * LSI_ALIGN); /* while its read comes back */
  end_run(&w, back, LSIO_ERR_CANCELLED);
  end_run(&w, normal, 0);
  end(&w);
}

/* As many in the background as a thread takes turns with, of both kinds, keep no normal run out; and they end. */
static void many_in_the_background_keep_nobody_out(void **state) {
  (void)state;
  static struct world w;
  static struct one all[102];
  begin(&w, 1);
  const uint32_t n = LSI_COUNTOF(all) - 2;
  for (uint32_t i = 0; i < LSI_COUNTOF(all); i++) {
    make(&w, &all[i], i % 2 ? 1 : UNITS / 10, UNIT, 1);
    all[i].j.config.background = i < n;
    if (i == n) one_turn(&w, 0);
    start(&all[i]);
  }
  uint32_t left = 0;
  while (!lsi_run_ended(all[n].run) || !lsi_run_ended(all[n + 1].run)) one_turn(&w, 0);
  for (uint32_t i = 0; i < n; i++) left += !lsi_run_ended(all[i].run);
  assert_true(left >= n - 4);
  for (uint32_t i = 0; i < LSI_COUNTOF(all); i++) {
    end_run(&w, &all[i], 0);
    memset(&all[i], 0, sizeof all[i]);
  }
  end(&w);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_background_gets_what_others_leave),
                                     cmocka_unit_test(a_stopped_run_in_the_background_ends),
                                     cmocka_unit_test(many_in_the_background_keep_nobody_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
