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
    w->infos[i] = (struct lsi_object_info){o->device, i + 1, o->size, 1};
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
  o->j.config.crew = w->crew;
  o->j.config.queue_depth = 0;
  o->j.config.device_ids = device_ids;
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
    if (o->cancel_at >= 0) o->cancel_at += (int64_t)w->time.now;
    return;
  }
  if (o->cancel_at >= 0 && (int64_t)w->time.now > o->cancel_at) lsi_run_cancel(o->s.run);
  if (lsi_run_ended(o->s.run)) end(w, o);
  else if (o->polled) engine_job_poll(&o->s, 0);
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

static uint64_t last_hash;

static void one_seed(uint64_t seed) {
  static struct world w;
  memset(&w, 0, sizeof w);
  w.dice.rng = seed;
  make_objects(&w, seed);
  assert_int_equal(lsi_crew_create(NULL, true, &w.crew), 0);
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
  }
  last_hash = w.time.hash ^ w.time.now;
  engine_time_end();
  lsi_crew_destroy(w.crew);
  assert_int_equal(atomic_load(&w.sim.in_flight[0]) + atomic_load(&w.sim.in_flight[1]), 0);
}

static void every_step_of_every_run_ends_once(void **state) {
  (void)state;
  engine_job_seeds(one_seed, 1, 2000);
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

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_step_of_every_run_ends_once),
                                     cmocka_unit_test(one_seed_does_the_same_things)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
