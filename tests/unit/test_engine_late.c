/* Files of which only the names were planned, against the simulated backend: it reads some as they are
 * opened (`whole`), and all faults of test_engine.c happen to the others. The same promise: every step
 * once with the right bytes, or reported as failed. LSIO_SIM_SEEDS, LSIO_SIM_FIRST and LSIO_SIM_SEED as
 * there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine_job.h"
#include "test/sim.h"

#define OBJECTS 200u

struct world {
  struct lsi_sim sim;
  struct lsi_sim_object objects[OBJECTS];
  struct lsi_object_info infos[OBJECTS]; /* nothing known: only the name is planned */
  const char *names[OBJECTS];
  bool moved; /* an object changes or shrinks: the job may stop */
  bool must_stop;
};

static uint8_t sim_byte(const void *ctx, uint32_t object, uint64_t offset) {
  return lsi_sim_byte(ctx, object, offset);
}

static uint64_t draw_size(struct engine_job *j, bool even) {
  switch (even ? 7 : engine_job_random(j, 8)) {
  case 0:
    return 0;
  case 1:
    return LSI_LATE_BYTES - 1 + engine_job_random(j, 3);
  case 2:
    return engine_job_random(j, 200000);
  default:
    return engine_job_random(j, 9000);
  }
}

static void make_world(struct world *w, struct engine_job *j, uint64_t seed) {
  memset(w, 0, sizeof *w);
  j->rng = seed;
  w->sim.seed = seed;
  w->sim.objects = w->objects;
  w->sim.n_objects = 1 + (uint32_t)engine_job_random(j, OBJECTS);
  const bool even = engine_job_random(j, 4) == 0; /* all small, and read as they are opened */
  const bool calm = even || engine_job_random(j, 2) == 0;
  w->sim.whole = even ? 1000 : 700;
  for (uint32_t i = 0; i < w->sim.n_objects; i++) {
    struct lsi_sim_object *o = &w->objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = draw_size(j, even);
    o->device = i & 1;
    if (!calm && engine_job_random(j, 400) == 0 && o->size) o->real_size = engine_job_random(j, o->size);
    if (!calm && engine_job_random(j, 400) == 0) o->changed_at_open = true;
    if (!calm && engine_job_random(j, 400) == 0) o->changed_at_close = true;
    o->gone = !calm && o->real_size == o->size && !o->changed_at_open && !o->changed_at_close &&
              engine_job_random(j, 100) == 0;
    w->moved |= o->real_size < o->size || o->changed_at_open || o->changed_at_close;
    w->names[i] = o->name;
    w->infos[i] = lsi_sim_info(o, i);
    const bool late = even || engine_job_random(j, 5);
    if (late) w->infos[i].known = 0;
    /* What it is when it is opened is what a late one is. */
    w->must_stop |= o->real_size < o->size || (late ? o->changed_at_close && !o->changed_at_open
                                                    : o->changed_at_open || o->changed_at_close);
  }
  w->sim.delay_max = (uint32_t)engine_job_random(j, 2) * 50;
  static const uint32_t restless[] = {0, 0, 100, 1000};
  w->sim.restless = restless[engine_job_random(j, LSI_COUNTOF(restless))];
  if (calm) return;
  w->sim.bad_block = (uint32_t)engine_job_random(j, 2) * 5;
  engine_job_faults(j, &w->sim);
}

static uint32_t must_fail(const struct world *w, const struct engine_job *j) {
  const struct lsi_request *r = j->spec.request;
  uint32_t n = 0;
  for (uint32_t s = 0; s < r->n_steps; s++)
    n += (j->fail_one_in && s % j->fail_one_in == j->fail_one_in - 1) ||
         w->objects[r->object[s]].gone || lsi_sim_bad(&w->sim, r->object[s], 0, w->objects[r->object[s]].size);
  return n;
}

static uint64_t read_whole; /* files, of all seeds */

static void one_seed(uint64_t seed) {
  static struct world w;
  struct engine_job j;
  make_world(&w, &j, seed);
  engine_job_build_files(&j, seed, w.sim.n_objects, w.names, w.infos);
  if (engine_job_random(&j, 4) == 0) j.fail_one_in = 2 + (uint32_t)engine_job_random(&j, 20);
  j.byte_at = sim_byte;
  j.ctx = &w.sim;
  j.config.stores = lsi_sim_stores;
  j.config.backend = &lsi_backend_sim;
  j.config.backend_user = &w.sim;
  for (uint32_t d = 0; d < 2; d++)
    w.sim.cap[d] = j.config.queue_depth ? j.config.queue_depth : j.plan->devices[d].cap;
  const int64_t cancel = engine_job_random(&j, 10) == 0 ? (int64_t)engine_job_random(&j, 300000) : -1;
  struct lsi_error e;
  lsi_error_clear(&e);
  const int rc = engine_job_run(&j, seed, cancel, &e);
  const uint32_t bad = must_fail(&w, &j);
  bool right = false;
  if (rc == 0) {
    uint32_t failed = 0;
    for (uint32_t s = 0; s < j.spec.request->n_steps; s++) {
      failed += !atomic_load(&j.delivered[s]);
      const struct lsi_sim_object *o = &w.objects[j.spec.request->object[s]];
      right |= !o->gone && j.spec.request->length[s] != o->size;
    }
    right = !right && !w.must_stop && failed >= bad &&
            failed <= bad + j.too_large && (j.spec.on_error == LSI_ON_ERROR_SKIP || !bad);
  } else if (rc == LSIO_ERR_SOURCE) {
    right = (w.moved || (bad && j.spec.on_error == LSI_ON_ERROR_FAIL)) && e.object[0];
  } else if (rc == LSIO_ERR_IO && (e.os_code == EMFILE || e.os_code == ENFILE)) {
    right = w.sim.emfile && e.object[0];
  } else if (rc == LSIO_ERR_LIMIT) { /* a file that does not fit into the memory of all workers */
    right = e.object[0] && strstr(e.what, "a step needs") && j.spec.on_error == LSI_ON_ERROR_FAIL;
  } else {
    right = rc == LSIO_ERR_CANCELLED ? cancel >= 0 : bad && j.spec.on_error == LSI_ON_ERROR_FAIL;
  }
  read_whole += atomic_load(&w.sim.wholes);
  if (!right)
    fail_msg("seed %llu: code %d: %s '%s'", (unsigned long long)seed, rc, e.what, e.object);
  engine_job_free(&j);
}

static void every_file_ends_exactly_once(void **state) {
  (void)state;
  const uint64_t n = engine_job_seeds(one_seed, 5, 500);
  assert_true(!n || read_whole > 5 * n);
}

int main(void) {
  engine_job_pieces = true;
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_file_ends_exactly_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
