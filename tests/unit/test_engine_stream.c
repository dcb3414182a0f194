/* Results that are streamed while objects change, on the simulated backend: what is handed out is what the
 * object held when the job was planned, and every step that ran is handed out or reported, once. Seeds as
 * in test_engine.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine_job.h"
#include "memory/block.h"
#include "ground/mem.h"
#include "seams/os.h"
#include "test/sim.h"

#define OBJECTS 4

struct world {
  struct lsi_sim sim;
  struct lsi_sim_object objects[OBJECTS];
  struct lsi_object_info infos[OBJECTS];
  const char *names[OBJECTS];
  bool changing;
};

static void make_world(struct world *w, struct engine_job *j, uint64_t seed) {
  memset(w, 0, sizeof *w);
  j->rng = seed;
  w->sim.seed = seed;
  w->sim.objects = w->objects;
  w->sim.n_objects = OBJECTS;
  w->sim.delay_max = (uint32_t)engine_job_random(j, 2) * 50;
  for (uint32_t i = 0; i < OBJECTS; i++) {
    struct lsi_sim_object *o = &w->objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = engine_job_random(j, 300000);
    o->device = i & 1;
    o->changing = engine_job_random(j, 3) == 0;
    w->changing |= o->changing;
    w->names[i] = o->name;
    w->infos[i] = lsi_sim_info(o, i);
  }
  if (engine_job_random(j, 2)) engine_job_faults(j, &w->sim);
}

struct ends {
  uint32_t *handed_out, *failed;
  uint32_t n_failed;
};

static bool right(const struct world *w, const struct lsi_request *r, const struct lsi_block *block,
                  const struct lsio_result *c) {
  const uint8_t *const data = (const uint8_t *)block->data + c->begin, *p = data;
  if ((uintptr_t)data % LSI_BLOCK_ALIGN || c->begin + c->length + LSI_BLOCK_ALIGN > block->room) return false;
  for (uint32_t i = lsi_request_chunk_begin(r, (uint32_t)c->step);
       i < lsi_request_chunk_end(r, (uint32_t)c->step); i++)
    for (uint64_t b = 0; b < r->length[i]; b++)
      if (*p++ != lsi_sim_byte(&w->sim, r->object[i], r->offset[i] + b)) return false;
  return c->length == (size_t)(p - data);
}

struct taker {
  const struct world *w;
  const struct engine_job *j;
  struct ends *ends;
  uint64_t seed;
};

static void take(void *user, struct lsi_run_completion *c) {
  const struct taker *t = user;
  struct ends *ends = t->ends;
  for (struct lsi_run_completion *next; c; c = next) {
    next = c->next;
    if (c->kind == LSIO_STEP_FAILED) {
      ends->failed[c->step]++;
      ends->n_failed++;
    }
    for (uint32_t i = 0; i < c->n; i++) {
      const struct lsio_result *one = &c->block->results[c->from + i];
      if (!right(t->w, t->j->spec.request, c->block, one))
        fail_msg("seed %llu: step %llu was handed out with other bytes", (unsigned long long)t->seed,
                 (unsigned long long)one->step);
      ends->handed_out[one->step]++;
    }
    lsi_run_free_completion(c);
  }
}

static bool by_turns;

static void one_seed(uint64_t seed) {
  struct world w;
  struct engine_job j;
  make_world(&w, &j, seed);
  engine_job_build(&j, seed, OBJECTS, w.names, w.infos, 200);
  j.spec.transform = NULL;
  j.spec.identity = true;
  j.config.stream = true;
  j.config.stores = lsi_sim_stores;
  j.config.backend = &lsi_backend_sim;
  j.config.backend_user = &w.sim;
  const int64_t cancel = engine_job_random(&j, 10) == 0 ? (int64_t)engine_job_random(&j, 300000) : -1;
  const uint32_t n = j.spec.request->n_steps;
  struct ends ends = {.handed_out = lsi_calloc(n, sizeof(uint32_t)), .failed = lsi_calloc(n, sizeof(uint32_t))};
  struct lsi_run *run;
  struct lsi_error e;
  lsi_error_clear(&e);
  struct taker taker = {&w, &j, &ends, seed};
  assert_int_equal((by_turns ? lsi_run_create : lsi_run_start)(&j.config, &run, &e), 0);
  if (by_turns) {
    const struct engine_turns how = {.sim = &w.sim, .cancel_after_ns = cancel, .take = take, .user = &taker,
                                     .poll_one_in = 1 + (uint32_t)engine_job_random(&j, 400)};
    engine_job_turns(&j, seed, run, &how);
  }
  while (!lsi_run_ended(run)) {
    take(&taker, lsi_run_take(run, cancel >= 0 ? cancel + 1 : 1000000000));
    if (cancel >= 0) lsi_run_cancel(run);
  }
  take(&taker, lsi_run_take(run, 0));
  const int rc = lsi_run_join(run, &e);
  struct lsi_summary s;
  lsi_run_summary(run, &s);
  uint32_t handed_out = 0;
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t times = ends.handed_out[i] + ends.failed[i];
    if (times > 1 || (rc == 0 && times != 1))
      fail_msg("seed %llu: step %u ended %u times", (unsigned long long)seed, i, times);
    handed_out += ends.handed_out[i];
  }
  /* What is counted is what was handed out. */
  if (s.steps != handed_out || s.steps_failed != ends.n_failed)
    fail_msg("seed %llu: %llu + %llu counted, %u + %u handed out", (unsigned long long)seed,
             (unsigned long long)s.steps, (unsigned long long)s.steps_failed, handed_out, ends.n_failed);
  if (rc == LSIO_ERR_SOURCE) assert_true(w.changing && e.object[0]);
  else assert_true(rc == 0 || (rc == LSIO_ERR_CANCELLED && cancel >= 0) || (rc == LSIO_ERR_IO && w.sim.emfile));
  lsi_run_destroy(run);
  lsi_free(ends.handed_out);
  lsi_free(ends.failed);
  engine_job_free(&j);
}

static void nothing_wrong_is_handed_out(void **state) {
  (void)state;
  engine_job_seeds(one_seed, 4, 1000);
}

static void nothing_wrong_is_handed_out_by_turns(void **state) {
  (void)state;
  by_turns = true;
  engine_job_seeds(one_seed, 4, 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_wrong_is_handed_out),
                                     cmocka_unit_test(nothing_wrong_is_handed_out_by_turns)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
