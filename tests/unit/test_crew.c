/* Many runs at once on one crew, by turns of one thread in a time of its own: runs come while others are under
 * way, are cancelled, polled late or not, fail by faults of the simulated backend that all of them share. Every
 * step of every run ends once, as in test_engine.c, and the threads' homes are left as they were. Seeds as
 * there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/loop/crew.h"
#include "engine_job.h"
#include "ground/mem.h"

#if defined(__SANITIZE_THREAD__) /* which has little to find in one thread */
#define USUAL_SEEDS 100
#define PART 10
#elif defined(__SANITIZE_ADDRESS__)
#define USUAL_SEEDS 1000
#define PART 1
#else
#define USUAL_SEEDS 10000
#define PART 1
#endif

#define OBJECTS 4
#define JOBS 8

struct one {
  struct engine_job j;
  struct engine_started s;
  bool started, ended, polled; /* polled: also while it runs */
  int64_t cancel_at;           /* < 0: never */
  uint64_t fail;
};

struct world {
  struct engine_job dice; /* whose random numbers all of this comes from */
  struct lsi_sim sim;
  struct lsi_sim_object objects[OBJECTS];
  struct lsi_object_info infos[OBJECTS];
  const char *names[OBJECTS];
  struct engine_time time;
  struct lsi_crew *crew;
  struct lsi_ledger *ledger;
  uint64_t memory;             /* that it shares out */
  uint32_t n_queued;           /* jobs that had to wait for it */
  struct one jobs[JOBS];
  uint32_t n_jobs, n_ended;
};

static uint64_t draw(struct world *w, uint64_t n) { return engine_job_random(&w->dice, n); }

static uint8_t sim_byte(const void *ctx, uint32_t object, uint64_t offset) {
  return lsi_sim_byte(ctx, object, offset);
}

static void make_objects(struct world *w, uint64_t seed) {
  w->sim = (struct lsi_sim){.seed = seed, .objects = w->objects, .n_objects = OBJECTS, .by_clock = true};
  w->sim.delay_max = (uint32_t)draw(w, 2) * 50000;
  for (uint32_t i = 0; i < OBJECTS; i++) {
    struct lsi_sim_object *o = &w->objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = draw(w, 4) ? draw(w, 300000) : 0;
    o->device = i & 1;
    w->names[i] = o->name;
    w->infos[i] = lsi_sim_info(o, i);
  }
  if (draw(w, 3) == 0) return;
  w->sim.bad_block = (uint32_t)draw(w, 3) * 20;
  engine_job_faults(&w->dice, &w->sim);
}

static const uint64_t device_ids[] = {0, 1};

static void make_job(struct world *w, struct one *o, uint64_t seed) {
  engine_job_build(&o->j, seed, OBJECTS, w->names, w->infos, 60);
  o->j.byte_at = sim_byte;
  o->j.ctx = &w->sim;
  if (draw(w, 4) == 0) o->j.fail_one_in = 2 + (uint32_t)draw(w, 20);
  o->j.config.backend = &lsi_backend_sim;
  o->j.config.backend_user = &w->sim;
  o->j.config.stores = lsi_sim_stores;
  o->j.config.crew = w->crew;
  o->j.config.queue_depth = 0;
  o->j.config.device_ids = device_ids;
  o->j.config.ledger = w->ledger;
  o->cancel_at = draw(w, 5) ? -1 : (int64_t)draw(w, 3000000);
  o->polled = draw(w, 3);
}

/* What is in flight counts over all runs: the first one's caps hold. */
static void keep_caps(struct world *w) {
  for (uint32_t d = 0; d < 2; d++) w->sim.cap[d] = w->jobs[0].j.plan->devices[d].cap;
}

static void end(struct world *w, struct one *o) {
  struct lsi_error e;
  lsi_error_clear(&e);
  const int rc = engine_job_finish(&o->s, &e);
  const bool failed_on_purpose = o->j.fail_one_in || w->sim.bad_block || w->sim.emfile;
  if (rc && !(rc == LSIO_ERR_CANCELLED && o->cancel_at >= 0) && !failed_on_purpose)
    fail_msg("seed %llu: code %d: %s", (unsigned long long)o->s.seed, rc, e.what);
  engine_job_free(&o->j);
  o->ended = true;
  w->n_ended++;
}

/* What the jobs' owners do between turns. */
static void owners(struct world *w, uint64_t seed) {
  struct one *o = &w->jobs[draw(w, w->n_jobs)];
  if (o->ended) return;
  if (!o->started) {
    engine_job_start(&o->j, seed, true, &o->s);
    o->started = true;
    w->n_queued += lsi_run_queued(o->s.run);
    if (o->cancel_at >= 0) o->cancel_at += (int64_t)w->time.now;
    return;
  }
  if (o->cancel_at >= 0 && (int64_t)w->time.now > o->cancel_at) lsi_run_cancel(o->s.run);
  if (lsi_run_ended(o->s.run)) end(w, o);
  else if (o->polled || lsi_run_queued(o->s.run)) engine_job_poll(&o->s, 0); /* it may be cancelled there */
}

/* Memory is short: for one or two at a time, or less than one needs. */
static void make_ledger(struct world *w) {
  w->ledger = lsi_ledger_create();
  assert_non_null(w->ledger);
  w->memory = (uint64_t)1 << (12 + draw(w, 16));
  lsi_ledger_limit(w->ledger, w->memory);
}

/* What is held is held by runs that go on, and no more than there is. */
static void check_ledger(struct world *w) {
  struct lsi_ledger_figures f;
  lsi_ledger_look(w->ledger, &f);
  uint64_t held = 0;
  uint32_t n_held = 0, waits = 0;
  for (uint32_t i = 0; i < w->n_jobs; i++) {
    const struct one *o = &w->jobs[i];
    if (!o->started || o->ended) continue;
    const struct lsi_claim *c = &o->s.run->claim;
    waits += lsi_run_queued(o->s.run);
    n_held += c->state == LSI_CLAIM_HELD;
    held += c->state == LSI_CLAIM_HELD ? c->bytes : 0;
  }
  assert_int_equal(f.held, held);
  assert_int_equal(f.waits, waits);
  assert_true(held <= w->memory || n_held == 1);
  assert_true(n_held || !waits);
}

/* One round of turns, in any order. */
static void turns(struct world *w) {
  const uint32_t n = lsi_crew_size(w->crew);
  uint32_t idle = 0;
  uint64_t next = UINT64_MAX;
  atomic_store(&w->sim.next_ns, UINT64_MAX);
  for (uint32_t i = 0; i < 4 * n; i++) {
    const uint32_t member = (uint32_t)draw(w, n);
    uint64_t wait_ns;
    const enum lsi_crew_turn t = lsi_crew_turn(w->crew, member, &wait_ns);
    engine_time_note(&w->time, (uint64_t)member << 8 | t);
    idle += t != LSI_CREW_WENT;
    if (wait_ns != UINT64_MAX) next = LSI_MIN(next, w->time.now + wait_ns);
  }
  if (idle < 4 * n) return;
  next = LSI_MIN(next, atomic_load(&w->sim.next_ns));
  w->time.now = LSI_MAX(w->time.now + 1000, next == UINT64_MAX ? 0 : next);
}

static uint64_t last_hash, n_queued;

static void one_seed(uint64_t seed) {
  static struct world w;
  memset(&w, 0, sizeof w);
  w.dice.rng = seed;
  make_objects(&w, seed);
  assert_int_equal(lsi_crew_create(NULL, true, &w.crew), 0);
  make_ledger(&w);
  w.n_jobs = 2 + (uint32_t)draw(&w, JOBS - 1);
  for (uint32_t i = 0; i < w.n_jobs; i++) make_job(&w, &w.jobs[i], seed * 100 + i);
  keep_caps(&w);
  w.jobs[0].started = true;
  engine_time_begin(&w.time);
  engine_job_start(&w.jobs[0].j, seed, true, &w.jobs[0].s); /* its devices are the crew's first */
  for (uint64_t n = 0; w.n_ended < w.n_jobs; n++) {
    if (n > 2000000) fail_msg("seed %llu: the runs hang", (unsigned long long)seed);
    turns(&w);
    owners(&w, seed);
    check_ledger(&w);
  }
  n_queued += w.n_queued;
  last_hash = w.time.hash ^ w.time.now;
  engine_time_end();
  lsi_crew_destroy(w.crew);
  lsi_ledger_destroy(w.ledger);
  assert_int_equal(atomic_load(&w.sim.in_flight[0]) + atomic_load(&w.sim.in_flight[1]), 0);
}

static void every_step_of_every_run_ends_once(void **state) {
  (void)state;
  const uint64_t n = engine_job_seeds(one_seed, PART, USUAL_SEEDS);
  if (n >= 100) assert_true(n_queued > n / 4); /* memory was short often enough */
}

static void one_seed_does_the_same_things(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    one_seed(seed);
    const uint64_t hash = last_hash;
    one_seed(seed);
    if (last_hash != hash) fail_msg("seed %llu did other things", (unsigned long long)seed);
  }
}

/* ---- fairness ---- */

#define FAIR_UNITS 400
#define FAIR_UNIT 4096
#define FAIR_WINDOW 100

/* Jobs of equal units that lie apart, with nothing to go wrong. */
static void make_equal(struct world *w, struct one *o, uint32_t units) {
  struct engine_job *j = &o->j;
  memset(j, 0, sizeof *j);
  lsi_spec_init(&j->spec);
  struct lsi_request *r = j->spec.request = lsi_request_create();
  struct lsi_error e;
  lsi_error_clear(&e);
  uint32_t index;
  assert_int_equal(lsi_request_add_object(r, w->names[0], &w->infos[0], &index, &e), 0);
  for (uint32_t i = 0; i < units; i++) {
    const uint32_t object = 0;
    const int64_t offset = (int64_t)i * 2 * FAIR_UNIT, length = FAIR_UNIT, tag = 0;
    assert_int_equal(lsi_request_add_step(r, 1, &object, &offset, &length, &tag, &e), 0);
  }
  struct lsi_device_model model;
  lsi_device_preset(LSI_DEVICE_NVME, &model);
  const struct lsi_plan_options options = {.merge = LSI_MERGE_NEVER, .n_devices = 1, .devices = &model};
  assert_int_equal(lsi_plan_build(r, &options, &j->plan, &e), 0);
  assert_int_equal(j->plan->n_units, units);
  j->spec.type = (struct lsi_dtype){LSI_U8, false};
  j->spec.identity = true;
  j->config = (struct lsi_run_config){.spec = &j->spec, .plan = j->plan, .sink_type = j->spec.type,
                                      .workers = 1 + (uint32_t)draw(w, 3), .share = 8u << 20,
                                      .backend = &lsi_backend_sim, .backend_user = &w->sim,
                                      .stores = lsi_sim_stores,
                                      .crew = w->crew, .device_ids = device_ids};
}

static void make_fair(struct world *w, struct one *o) { make_equal(w, o, FAIR_UNITS); }

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

static void one_fair(uint64_t seed) {
  static struct world w;
  static uint8_t order[JOBS * FAIR_UNITS];
  memset(&w, 0, sizeof w);
  w.dice.rng = seed;
  make_objects(&w, seed);
  w.objects[0].size = w.objects[0].real_size = w.infos[0].size = FAIR_UNITS * 2 * FAIR_UNIT;
  w.sim = (struct lsi_sim){.seed = seed, .objects = w.objects, .n_objects = OBJECTS, .by_clock = true,
                           .delay_max = (uint32_t)draw(&w, 3) * 20000};
  assert_int_equal(lsi_crew_create(NULL, true, &w.crew), 0);
  w.n_jobs = 2 + (uint32_t)draw(&w, JOBS - 1);
  engine_time_begin(&w.time);
  for (uint32_t i = 0; i < w.n_jobs; i++) {
    make_fair(&w, &w.jobs[i]);
    w.jobs[i].j.config.workers = w.jobs[0].j.config.workers;
  }
  for (uint32_t i = 0; i < w.n_jobs; i++) engine_job_start(&w.jobs[i].j, seed, true, &w.jobs[i].s);
  uint64_t begun[JOBS] = {0};
  uint32_t n = 0;
  for (bool all = true; all;) {
    const uint32_t member = (uint32_t)draw(&w, lsi_crew_size(w.crew));
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
  for (uint32_t i = 0; i < w.n_jobs; i++) {
    struct one *o = &w.jobs[i];
    while (!lsi_run_ended(o->s.run)) turns(&w);
    assert_int_equal(lsi_run_join(o->s.run, NULL), 0);
    lsi_run_destroy(o->s.run);
    lsi_free(o->s.failed);
    engine_job_free(&o->j);
  }
  engine_time_end();
  lsi_crew_destroy(w.crew);
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
  make_equal(w, o, units);
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
  assert_int_equal(lsi_crew_size(w.crew), 0);
  o->j.config.workers = 2;
  assert_int_equal(lsi_run_start(&o->j.config, &o->s.run, NULL), 0);
  assert_int_equal(lsi_crew_size(w.crew), 2);
  while (!lsi_run_ended(o->s.run)) turns(&w);
  assert_int_equal(lsi_run_join(o->s.run, NULL), 0);
  lsi_run_destroy(o->s.run);
  engine_job_free(&o->j);
  engine_time_end();
  lsi_crew_destroy(w.crew);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_step_of_every_run_ends_once),
                                     cmocka_unit_test(one_seed_does_the_same_things),
                                     cmocka_unit_test(equal_jobs_get_equal_parts),
                                     cmocka_unit_test(those_that_wait_get_their_turn),
                                     cmocka_unit_test(a_short_job_comes_first),
                                     cmocka_unit_test(a_crew_has_no_more_threads_than_it_may)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
