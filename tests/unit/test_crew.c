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

#include "crew_world.h"
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
static uint8_t sim_byte(const void *ctx, uint32_t object, uint64_t offset) {
  return lsi_sim_byte(ctx, object, offset);
}

static void make_job(struct world *w, struct one *o, uint64_t seed) {
  /* Or whole files of which only the names are known: those that turn out large need memory late. */
  struct lsi_object_info late[OBJECTS];
  for (uint32_t i = 0; i < OBJECTS; i++) late[i] = w->infos[i], late[i].known = 0;
  if (draw(w, 4)) engine_job_build(&o->j, seed, OBJECTS, w->names, w->infos, 60);
  else engine_job_build_files(&o->j, seed, OBJECTS, w->names, late);
  o->j.byte_at = sim_byte;
  o->j.ctx = &w->sim;
  if (draw(w, 4) == 0) o->j.fail_one_in = 2 + (uint32_t)draw(w, 20);
  o->j.config.backend = &lsi_backend_sim;
  o->j.config.backend_user = &w->sim;
  o->j.config.stores = lsi_sim_stores;
  o->j.config.crew = w->crew;
  o->j.config.queue_depth = 0;
  o->j.config.device_ids = world_device_ids;
  o->j.config.ledger = w->ledger;
  o->cancel_at = draw(w, 5) ? -1 : (int64_t)draw(w, 3000000);
  o->j.config.deadline_ns = draw(w, 3) ? 0 : 1 + draw(w, 3000000);
  o->polled = draw(w, 3);
}

/* What is in flight counts over all runs: the first one's caps hold. */
static void keep_caps(struct world *w) {
  for (uint32_t d = 0; d < 2; d++) w->sim.cap[d] = w->jobs[0].j.plan->devices[d].cap;
}

static uint64_t n_queued, n_surplus, n_expired, n_kept;

static uint32_t delivered(const struct engine_job *j) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < j->spec.request->n_steps; i++) n += atomic_load(&j->delivered[i]);
  return n;
}

static uint64_t expire(void *arg, uint64_t now) {
  struct one *o = arg;
  assert_true(now >= o->deadline.at_ns && o->deadline.at_ns);
  lsi_run_expire(o->s.run);
  o->expired = true;
  o->delivered = delivered(&o->j);
  return 0;
}

static void end(struct world *w, struct one *o) {
  struct lsi_error e;
  lsi_error_clear(&e);
  if (o->deadline.ring) lsi_alarms_drop(w->alarms, &o->deadline);
  o->left = o->s.run->left.n_steps;
  if (o->expired) assert_int_equal(delivered(&o->j), o->delivered); /* none has begun since */
  const int rc = engine_job_finish(&o->s, &e);
  const bool too_large = rc == LSIO_ERR_LIMIT && o->j.spec.request->late; /* a file, for its run */
  const bool failed_on_purpose = o->j.fail_one_in || w->sim.bad_block || w->sim.emfile || too_large;
  const bool expired = rc == LSIO_ERR_LIMIT && o->j.config.deadline_ns && o->j.spec.on_error == LSI_ON_ERROR_FAIL;
  n_expired += expired && !too_large;
  n_kept += rc == 0 && o->j.summary.error_count && o->left;
  if (rc && !(rc == LSIO_ERR_CANCELLED && o->cancel_at >= 0) && !failed_on_purpose && !expired)
    fail_msg("seed %llu: code %d: %s", (unsigned long long)o->s.seed, rc, e.what);
  engine_job_free(&o->j);
  o->ended = true;
  w->n_ended++;
}

static void set_deadline(struct world *w, struct one *o) {
  const uint64_t ns = o->j.config.deadline_ns;
  if (!ns) return;
  o->deadline = (struct lsi_alarm){.at_ns = w->time.now + ns, .ring = expire, .user = o};
  lsi_alarms_set(w->alarms, &o->deadline);
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
    set_deadline(w, o);
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

static uint64_t last_hash;

/* What is held is held by runs that go on, and by their workers, and no more than there is, but for one that
 * insisted. */
static void check_ledger(struct world *w) {
  struct lsi_ledger_figures f;
  lsi_ledger_look(w->ledger, &f);
  uint64_t held = 0, beyond = 0;
  uint32_t n_held = 0, waits = 0, n_beyond = 0;
  for (uint32_t i = 0; i < w->n_jobs; i++) {
    const struct one *o = &w->jobs[i];
    if (!o->started || o->ended) continue;
    for (uint32_t k = 0; k <= o->s.run->n_workers; k++) {
      const struct lsi_claim *c = k ? &o->s.run->workers[k - 1].surplus.claim : &o->s.run->claim;
      waits += c->state == LSI_CLAIM_WAITS;
      n_surplus += k && c->state != LSI_CLAIM_NONE;
      if (c->state != LSI_CLAIM_HELD) continue;
      n_held++;
      held += c->bytes;
      n_beyond += c->beyond;
      beyond += c->beyond ? c->bytes : 0;
    }
  }
  assert_int_equal(f.held, held);
  assert_int_equal(f.waits, waits);
  assert_true(held - beyond <= w->memory || n_held - n_beyond == 1);
  assert_true(n_beyond <= 1);
  assert_true(n_held || !waits);
}

static void one_seed(uint64_t seed) {
  static struct world w;
  memset(&w, 0, sizeof w);
  w.dice.rng = seed;
  make_objects(&w, seed);
  assert_int_equal(lsi_crew_create(NULL, true, &w.crew), 0);
  make_ledger(&w);
  w.alarms = lsi_alarms_create();
  assert_non_null(w.alarms);
  w.n_jobs = 2 + (uint32_t)draw(&w, JOBS - 1);
  for (uint32_t i = 0; i < w.n_jobs; i++) make_job(&w, &w.jobs[i], seed * 100 + i);
  keep_caps(&w);
  w.jobs[0].started = true;
  engine_time_begin(&w.time);
  engine_job_start(&w.jobs[0].j, seed, true, &w.jobs[0].s); /* its devices are the crew's first */
  set_deadline(&w, &w.jobs[0]);
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
  lsi_ledger_drop(w.ledger);
  lsi_alarms_destroy(w.alarms);
  assert_int_equal(atomic_load(&w.sim.in_flight[0]) + atomic_load(&w.sim.in_flight[1]), 0);
}

static void every_step_of_every_run_ends_once(void **state) {
  (void)state;
  const uint64_t n = engine_job_seeds(one_seed, PART, USUAL_SEEDS);
  if (n >= 100) assert_true(n_queued > n / 4 && n_surplus > n / 10); /* memory was short often enough */
  if (n >= 100) assert_true(n_expired > n / 10 && n_kept > n / 10);
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
  engine_job_pieces = true;
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_step_of_every_run_ends_once),
                                     cmocka_unit_test(one_seed_does_the_same_things)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
