/* Who has the next turn on a crew, by turns of one thread in a time of its own: runs of equal units get equal
 * parts, short ones come first, those in the background get what others leave, and nobody waits for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "crew_world.h"
#include "ground/mem.h"

#if defined(__SANITIZE_THREAD__) /* which has little to find in one thread */
#define PART 10
#else
#define PART 1
#endif

#define FAIR_UNITS 400
#define FAIR_UNIT 4096
#define FAIR_WINDOW 100

/* Of equal units that lie apart, with nothing to go wrong. */
static void make_units(struct world *w, struct one *o, uint32_t n, uint32_t bytes) {
  struct engine_job *j = &o->j;
  memset(j, 0, sizeof *j);
  lsi_spec_init(&j->spec);
  struct lsi_request *r = j->spec.request = lsi_request_create();
  struct lsi_error e;
  lsi_error_clear(&e);
  uint32_t index;
  assert_int_equal(lsi_request_add_object(r, w->names[0], &w->infos[0], &index, &e), 0);
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
                                      .workers = 1 + (uint32_t)draw(w, 3), .share = 8u << 20,
                                      .backend = &lsi_backend_sim, .backend_user = &w->sim,
                                      .stores = lsi_sim_stores,
                                      .crew = w->crew, .device_ids = world_device_ids};
}

static void make_fair(struct world *w, struct one *o) { make_units(w, o, FAIR_UNITS, FAIR_UNIT); }

static uint64_t units_begun(const struct lsi_run *run) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < run->n_workers; i++) bytes += run->workers[i].served;
  return bytes / (2 * FAIR_UNIT); /* a unit counts as its bytes and 4 KiB */
}

/* `order`: which job each unit was of, as they were begun while all jobs had some left. */
static void check_fair(const uint8_t *order, uint32_t n, uint32_t jobs, uint64_t seed) {
  uint32_t count[JOBS] = {0};
  for (uint32_t i = 0; i < n; i++) {
    count[order[i]]++;
    if (i >= FAIR_WINDOW) count[order[i - FAIR_WINDOW]]--;
    for (uint32_t k = 0; i + 1 >= FAIR_WINDOW && k < jobs; k++)
      if (count[k] * jobs * 10 < FAIR_WINDOW * 8 || count[k] * jobs * 10 > FAIR_WINDOW * 12)
        fail_msg("seed %llu: %u of the %u units before the %u-th are of job %u of %u",
                 (unsigned long long)seed, count[k], FAIR_WINDOW, i, k, jobs);
  }
}

static void begin_fair(struct world *w, uint64_t seed) {
  memset(w, 0, sizeof *w);
  w->dice.rng = seed;
  make_objects(w, seed);
  w->objects[0].size = w->objects[0].real_size = w->infos[0].size = FAIR_UNITS * 2 * FAIR_UNIT;
  w->sim = (struct lsi_sim){.seed = seed, .objects = w->objects, .n_objects = OBJECTS, .by_clock = true,
                            .delay_max = (uint32_t)draw(w, 3) * 20000};
  assert_int_equal(lsi_crew_create(NULL, true, &w->crew), 0);
  w->n_jobs = 2 + (uint32_t)draw(w, JOBS - 1);
  engine_time_begin(&w->time);
  for (uint32_t i = 0; i < w->n_jobs; i++) {
    make_fair(w, &w->jobs[i]);
    w->jobs[i].j.config.workers = w->jobs[0].j.config.workers;
  }
}

static void end_fair(struct world *w) {
  for (uint32_t i = 0; i < w->n_jobs; i++) {
    struct one *o = &w->jobs[i];
    while (!lsi_run_ended(o->s.run)) turns(w);
    assert_int_equal(lsi_run_join(o->s.run, NULL), 0);
    lsi_run_destroy(o->s.run);
    lsi_free(o->s.failed);
    engine_job_free(&o->j);
  }
  engine_time_end();
  lsi_crew_destroy(w->crew);
}

static void one_fair(uint64_t seed) {
  static struct world w;
  static uint8_t order[JOBS * FAIR_UNITS];
  begin_fair(&w, seed);
  for (uint32_t i = 0; i < w.n_jobs; i++) engine_job_start(&w.jobs[i].j, seed, true, &w.jobs[i].s);
  uint64_t begun[JOBS] = {0};
  uint32_t n = 0;
  for (bool all = true; all;) {
    const uint32_t member = (uint32_t)draw(&w, lsi_crew_look(w.crew, LSI_CREW_ALL).threads);
    uint64_t wait_ns;
    atomic_store(&w.sim.next_ns, UINT64_MAX);
    if (lsi_crew_turn(w.crew, member, &wait_ns) == LSI_CREW_WAITS) w.time.now += 1000;
    for (uint32_t k = 0; k < w.n_jobs; k++) {
      const uint64_t now = units_begun(w.jobs[k].s.run);
      for (; begun[k] < now; begun[k]++) order[n++] = (uint8_t)k;
      all &= now < FAIR_UNITS * 9 / 10; /* then what is left of one may be another thread's already */
    }
  }
  check_fair(order, n, w.n_jobs, seed);
  end_fair(&w);
}

static void equal_jobs_get_equal_parts(void **state) {
  (void)state;
  engine_job_seeds(one_fair, 20 * PART, 100 / PART);
}

/* Of one thread, and jobs of one worker each. */
static void begin_thread(struct world *w) {
  memset(w, 0, sizeof *w);
  w->dice.rng = 1;
  make_objects(w, 1);
  w->objects[0].size = w->objects[0].real_size = w->infos[0].size = FAIR_UNITS * 2 * FAIR_UNIT;
  w->sim = (struct lsi_sim){.seed = 1, .objects = w->objects, .n_objects = OBJECTS, .by_clock = true,
                            .delay_max = 20000};
  assert_int_equal(lsi_crew_create(NULL, true, &w->crew), 0);
  lsi_crew_limit(w->crew, 1);
  engine_time_begin(&w->time);
}

static void start_equal(struct world *w, struct one *o, uint32_t units) {
  make_units(w, o, units, FAIR_UNIT);
  o->j.config.workers = 1;
  assert_int_equal(lsi_run_start(&o->j.config, &o->s.run, NULL), 0);
}

/* All end, within many times the turns that it takes. */
static void end_equal(struct world *w, struct one *all, uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    for (uint32_t k = 0; !lsi_run_ended(all[i].s.run); k++) {
      if (k > 100000) fail_msg("job %u of %u never ends", i, n);
      turns(w);
    }
    assert_int_equal(lsi_run_join(all[i].s.run, NULL), 0);
    lsi_run_destroy(all[i].s.run);
    engine_job_free(&all[i].j);
  }
  engine_time_end();
  lsi_crew_destroy(w->crew);
}

/* More than a thread takes turns with: who waits is taken up when somebody leaves. */
static void those_that_wait_get_their_turn(void **state) {
  (void)state;
  static struct world w;
  static struct one all[100];
  begin_thread(&w);
  for (uint32_t i = 0; i < LSI_COUNTOF(all); i++) start_equal(&w, &all[i], i % 2 ? 1 : 5);
  end_equal(&w, all, LSI_COUNTOF(all));
}

/* A job of one unit begins it before those that were there begin another. */
static void a_short_job_comes_first(void **state) {
  (void)state;
  static struct world w;
  static struct one all[13];
  begin_thread(&w);
  w.sim.delay_max = 0; /* who has a turn can begin */
  for (int i = 0; i < 3; i++) start_equal(&w, &all[i], FAIR_UNITS);
  for (uint32_t i = 3; i < LSI_COUNTOF(all); i++) {
    uint64_t before = 0, after = 0, wait_ns;
    for (uint32_t k = 0; k < 3 + i; k++)
      if (lsi_crew_turn(w.crew, 0, &wait_ns) == LSI_CREW_WAITS) w.time.now += 1000;
    start_equal(&w, &all[i], 1);
    for (int k = 0; k < 3; k++) before += units_begun(all[k].s.run);
    while (!units_begun(all[i].s.run))
      if (lsi_crew_turn(w.crew, 0, &wait_ns) == LSI_CREW_WAITS) w.time.now += 1000;
    for (int k = 0; k < 3; k++) after += units_begun(all[k].s.run);
    assert_int_equal(after, before);
    assert_true(after > 0);
  }
  end_equal(&w, all, LSI_COUNTOF(all));
}

/* ---- the background ---- */

/* Of one thread: whether each unit was of a run in the background. */
struct handed_out {
  uint32_t n, of_background[JOBS * FAIR_UNITS + 1]; /* up to and without the i-th */
};

/* While normal runs had units left, more than there is room for in flight. */
static void check_background(const struct handed_out *h, uint64_t seed) {
  for (uint32_t i = FAIR_WINDOW; i <= h->n; i++) {
    const uint32_t part = h->of_background[i] - h->of_background[i - FAIR_WINDOW];
    /* One of 17 are five or six of a hundred, or four while they wait for some that are in flight. */
    if (part < 4 || part > 6)
      fail_msg("seed %llu: %u of the %u units before the %u-th of a thread are of runs in the background",
               (unsigned long long)seed, part, FAIR_WINDOW, i);
  }
}

static void one_turn(struct world *w, uint32_t member) {
  uint64_t wait_ns;
  atomic_store(&w->sim.next_ns, UINT64_MAX);
  if (lsi_crew_turn(w->crew, member, &wait_ns) == LSI_CREW_WAITS) w->time.now += 1000;
}

/* In any order, some when others are under way. Returns when all threads know all of them. */
static void start_one_by_one(struct world *w, uint64_t seed) {
  const uint32_t first = (uint32_t)draw(w, w->n_jobs);
  for (uint32_t i = 0; i < w->n_jobs; i++) {
    struct one *o = &w->jobs[(first + i) % w->n_jobs];
    engine_job_start(&o->j, seed, true, &o->s);
    const uint32_t n = lsi_crew_look(w->crew, LSI_CREW_ALL).threads;
    for (uint64_t turns = i ? draw(w, 120) : 0; turns; turns--) one_turn(w, (uint32_t)draw(w, n));
  }
  for (uint32_t i = 0; i < lsi_crew_look(w->crew, LSI_CREW_ALL).threads; i++) one_turn(w, i);
}

static void one_with_background(uint64_t seed) {
  static struct world w;
  static uint8_t order[JOBS * FAIR_UNITS]; /* of the normal ones, which come first */
  static struct handed_out threads[3];
  begin_fair(&w, seed);
  memset(threads, 0, sizeof threads);
  const uint32_t normal = 1 + (uint32_t)draw(&w, w.n_jobs - 1);
  for (uint32_t i = normal; i < w.n_jobs; i++) w.jobs[i].j.config.background = true;
  start_one_by_one(&w, seed);
  uint64_t begun[JOBS], before[JOBS];
  for (uint32_t k = 0; k < w.n_jobs; k++) before[k] = begun[k] = units_begun(w.jobs[k].s.run);
  uint32_t n = 0, n_background = 0;
  for (bool all = true; all;) {
    const uint32_t member = (uint32_t)draw(&w, lsi_crew_look(w.crew, LSI_CREW_ALL).threads);
    struct handed_out *h = &threads[member];
    one_turn(&w, member);
    for (uint32_t k = 0; k < w.n_jobs; k++) {
      const bool back = k >= normal;
      const uint64_t now = units_begun(w.jobs[k].s.run);
      for (; begun[k] < now; begun[k]++) {
        if (back) n_background++;
        else order[n++] = (uint8_t)k;
        h->of_background[h->n + 1] = h->of_background[h->n] + back;
        h->n++;
      }
      all &= now < FAIR_UNITS * 9 / 10;
    }
  }
  for (uint32_t i = 0; i < lsi_crew_look(w.crew, LSI_CREW_ALL).threads; i++) check_background(&threads[i], seed);
  check_fair(order, n, normal, seed);
  for (uint32_t k = normal, all = w.n_jobs - normal; k < w.n_jobs; k++) {
    const uint64_t had = (begun[k] - before[k]) * all, spread = 3 * all; /* one more or less a thread */
    if (had + spread < n_background || had > n_background + spread)
      fail_msg("seed %llu: of %u units in the background job %u had %llu", (unsigned long long)seed,
               n_background, k, (unsigned long long)had / all);
  }
  end_fair(&w); /* those in the background too */
}

static void the_background_gets_what_others_leave(void **state) {
  (void)state;
  engine_job_seeds(one_with_background, 20 * PART, 100 / PART);
}

/* One large unit in the background has to be made up for by a thousand empty ones, for which nobody ever waits;
 * but the end of a run that is stopped does not wait for that. */
static void a_stopped_run_in_the_background_ends(void **state) {
  (void)state;
  static struct world w;
  begin_fair(&w, 1);
  w.sim.delay_max = 0;
  for (uint32_t i = 0; i < w.n_jobs; i++) engine_job_free(&w.jobs[i].j);
  w.n_jobs = 2;
  struct one *normal = &w.jobs[0], *back = &w.jobs[1];
  make_units(&w, normal, FAIR_UNITS, 0);
  make_units(&w, back, 6, 64 * FAIR_UNIT);
  normal->j.config.workers = back->j.config.workers = 1;
  back->j.config.background = true;
  engine_job_start(&normal->j, 1, true, &normal->s);
  engine_job_start(&back->j, 1, true, &back->s);
  while (!back->s.run->workers[0].served) one_turn(&w, 0);
  const struct lsi_worker *worker = &normal->s.run->workers[0]; /* each unit counts as 4 KiB */
  const uint64_t before = worker->served;
  for (uint32_t i = 0; i < 100; i++) one_turn(&w, 0);
  const uint64_t meanwhile = worker->served;
  assert_int_equal(meanwhile - before, 100 * LSI_ALIGN); /* it gives way */
  assert_int_equal(back->s.run->workers[0].served, 65 * FAIR_UNIT);
  lsi_run_cancel(back->s.run);
  while (!lsi_run_ended(back->s.run)) one_turn(&w, 0);
  assert_true(worker->served - meanwhile <= 20 * LSI_ALIGN); /* while its read comes back */
  while (!lsi_run_ended(normal->s.run)) turns(&w);
  assert_int_equal(lsi_run_join(back->s.run, NULL), LSIO_ERR_CANCELLED);
  for (uint32_t i = 0; i < 2; i++) {
    lsi_run_destroy(w.jobs[i].s.run);
    lsi_free(w.jobs[i].s.failed);
    engine_job_free(&w.jobs[i].j);
  }
  engine_time_end();
  lsi_crew_destroy(w.crew);
}

/* As many in the background as a thread takes turns with, of both kinds, keep no normal run out; and they end. */
static void many_in_the_background_keep_nobody_out(void **state) {
  (void)state;
  static struct world w;
  static struct one all[102];
  const uint32_t n = LSI_COUNTOF(all) - 2;
  uint32_t left = 0;
  begin_thread(&w);
  for (uint32_t i = 0; i < LSI_COUNTOF(all); i++) {
    make_units(&w, &all[i], i % 2 ? 1 : FAIR_UNITS / 10, FAIR_UNIT);
    all[i].j.config.workers = 1;
    all[i].j.config.background = i < n;
    if (i == n) one_turn(&w, 0);
    assert_int_equal(lsi_run_start(&all[i].j.config, &all[i].s.run, NULL), 0);
  }
  while (!lsi_run_ended(all[n].s.run) || !lsi_run_ended(all[n + 1].s.run)) one_turn(&w, 0);
  for (uint32_t i = 0; i < n; i++) left += !lsi_run_ended(all[i].s.run);
  assert_true(left >= n - 4); /* a few had their part meanwhile */
  end_equal(&w, all, LSI_COUNTOF(all));
}

static void a_crew_has_no_more_threads_than_it_may(void **state) {
  (void)state;
  static struct world w;
  memset(&w, 0, sizeof w);
  w.dice.rng = 1;
  make_objects(&w, 1);
  w.objects[0].size = w.objects[0].real_size = w.infos[0].size = FAIR_UNITS * 2 * FAIR_UNIT;
  w.sim = (struct lsi_sim){.seed = 1, .objects = w.objects, .n_objects = OBJECTS, .by_clock = true};
  assert_int_equal(lsi_crew_create(NULL, true, &w.crew), 0);
  lsi_crew_limit(w.crew, 2);
  struct one *o = &w.jobs[0];
  make_fair(&w, o);
  o->j.config.workers = 3;
  struct lsi_error e;
  lsi_error_clear(&e);
  engine_time_begin(&w.time);
  assert_int_equal(lsi_run_start(&o->j.config, &o->s.run, &e), LSIO_ERR_LIMIT);
  assert_string_equal(e.what, "more than 2 workers");
  assert_int_equal(lsi_crew_look(w.crew, LSI_CREW_ALL).threads, 0);
  o->j.config.workers = 2;
  assert_int_equal(lsi_run_start(&o->j.config, &o->s.run, NULL), 0);
  assert_int_equal(lsi_crew_look(w.crew, LSI_CREW_ALL).threads, 2);
  while (!lsi_run_ended(o->s.run)) turns(&w);
  assert_int_equal(lsi_run_join(o->s.run, NULL), 0);
  lsi_run_destroy(o->s.run);
  engine_job_free(&o->j);
  engine_time_end();
  lsi_crew_destroy(w.crew);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(equal_jobs_get_equal_parts),
                                     cmocka_unit_test(those_that_wait_get_their_turn),
                                     cmocka_unit_test(a_short_job_comes_first),
                                     cmocka_unit_test(the_background_gets_what_others_leave),
                                     cmocka_unit_test(a_stopped_run_in_the_background_ends),
                                     cmocka_unit_test(many_in_the_background_keep_nobody_out),
                                     cmocka_unit_test(a_crew_has_no_more_threads_than_it_may)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
