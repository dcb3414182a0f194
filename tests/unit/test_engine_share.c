/* Who gets large chunks that come by pieces: a worker that is in the midst of one leaves the others to whoever
 * has nothing to do. Workers get their turns from one thread, in a time of the test's own, so that nothing depends on
 * the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/loop/home.h"
#include "engine/loop/worker.h"
#include "engine/state/engine.h"
#include "engine_job.h"
#include "ground/mem.h"
#include "seams/os.h"
#include "test/sim.h"

#define WORKERS 2u
#define CHUNKS 4u
#define PIECE ((uint64_t)4 << 10)
#define CHUNK (64 * PIECE)
#define AHEAD (16 * PIECE)
#define TURNS 100000

/* ---- the transform counts ---- */

static struct count {
  unsigned steps, pieces; /* steps: that have begun */
} counts[WORKERS];

static int open_worker(void *job, unsigned worker, unsigned n_workers, struct lsi_step *step, void **state,
                       struct lsi_error *err) {
  (void)job, (void)n_workers, (void)step, (void)err;
  *state = &counts[worker];
  return 0;
}

static int step(void *state, struct lsi_step *s, struct lsi_error *err) {
  (void)err;
  struct count *c = state;
  c->steps += !(s->piece & LSI_PIECE_LATER);
  c->pieces++;
  s->result = LSI_RESULT_NONE;
  return 0;
}

static void undo(void *state) { (void)state; }

static int finish(void *state, struct lsi_error *err) {
  (void)state, (void)err;
  return 0;
}

static void close_worker(void *state) { (void)state; }

static const struct lsi_transform_ops transform = {.name = "test", .open_worker = open_worker, .step = step,
                                                   .undo = undo, .finish = finish, .close = close_worker};

/* ---- a run by turns ---- */

struct world {
  struct lsi_sim_object object;
  struct lsi_sim sim;
  struct lsi_spec spec;
  struct lsi_plan *plan;
  struct lsi_home homes[WORKERS];
  struct lsi_run *run;
  struct engine_time time;
};

static void begin(struct world *w, uint32_t n_chunks) {
  struct lsi_error e;
  lsi_error_clear(&e);
  memset(w, 0, sizeof *w);
  memset(counts, 0, sizeof counts);
  engine_time_begin(&w->time);
  snprintf(w->object.name, sizeof w->object.name, "object");
  w->object.size = w->object.real_size = n_chunks * CHUNK;
  w->sim = (struct lsi_sim){.seed = 1, .objects = &w->object, .n_objects = 1};
  lsi_spec_init(&w->spec);
  struct lsi_request *r = w->spec.request = lsi_request_create();
  const struct lsi_object_info info = lsi_sim_info(&w->object, 0);
  assert_int_equal(lsi_request_add_object(r, w->object.name, &info, NULL, &e), 0);
  for (uint32_t i = 0; i < n_chunks; i++)
    assert_int_equal(lsi_request_add_chunk(r, 0, (int64_t)(i * CHUNK), (int64_t)CHUNK, 0, &e), 0);
  struct lsi_device_model model;
  lsi_device_preset((enum lsi_device_kind)0, &model);
  const struct lsi_plan_options options = {.merge = LSI_MERGE_NEVER, .in_request_order = true, .n_devices = 1,
                                           .devices = &model, .ahead = AHEAD};
  w->spec.piece = PIECE;
  assert_int_equal(lsi_plan_build(r, &options, &w->plan, &e), 0);
  w->spec.type = (struct lsi_dtype){LSI_U8, false};
  w->spec.transform = &transform;
  const struct lsi_run_config c = {.spec = &w->spec, .plan = w->plan, .stores = lsi_sim_stores,
                                   .backend = &lsi_backend_sim, .backend_user = &w->sim,
                                   .sink_type = w->spec.type, .sink_device = UINT32_MAX, .workers = WORKERS,
                                   .share = w->plan->unit_bytes_max + ((uint64_t)4 << 20)};
  if (lsi_run_create(&c, &w->run, &e)) fail_msg("%s", e.what);
  for (uint32_t i = 0; i < WORKERS; i++) {
    w->homes[i] = (struct lsi_home){.index = i, .threads = WORKERS, .open_limit = 1024, .bell = -1};
    w->run->workers[i].home = &w->homes[i];
  }
}

static void turn(struct world *w, uint32_t worker) {
  struct lsi_worker *k = &w->run->workers[worker];
  if (k->stage == LSI_STAGE_ENDED) return;
  k->blocked_ns = 0;
  k->may_begin = UINT32_MAX;
  if (lsi_worker_turn(k, 0) == LSI_TURN_ENDED) lsi_run_worker_ended(w->run, 0);
}

static void go_on_to_the_end(struct world *w) {
  for (uint32_t i = 0; !lsi_run_ended(w->run); i++) {
    if (i == TURNS) fail_msg("the run hangs");
    turn(w, i % WORKERS);
  }
  struct lsi_error e;
  lsi_error_clear(&e);
  if (lsi_run_join(w->run, &e)) fail_msg("%s", e.what);
  lsi_run_destroy(w->run);
  for (uint32_t i = 0; i < WORKERS; i++) lsi_home_clear(&w->homes[i]);
  lsi_plan_free(w->plan);
  lsi_spec_clear(&w->spec);
  engine_time_end();
}

/* As when a thread is late: the first worker has looked for more many times before the other one comes. */
static void one_that_is_late_finds_a_chunk(void **state) {
  (void)state;
  struct world w;
  begin(&w, 2);
  for (int i = 0; i < TURNS && counts[0].pieces < 20; i++) turn(&w, 0);
  assert_int_equal(counts[0].steps, 1);
  assert_in_range(counts[0].pieces, 20, CHUNK / PIECE - 20); /* in the midst of it */
  go_on_to_the_end(&w);
  assert_int_equal(counts[0].steps, 1);
  assert_int_equal(counts[1].steps, 1);
}

static void equal_chunks_are_shared_out_equally(void **state) {
  (void)state;
  struct world w;
  begin(&w, CHUNKS);
  for (int i = 0; i < TURNS && counts[0].pieces < 20; i++) turn(&w, 0);
  go_on_to_the_end(&w);
  assert_int_equal(counts[0].steps, CHUNKS / WORKERS);
  assert_int_equal(counts[1].steps, CHUNKS / WORKERS);
}

/* What is near its end has another one begun behind it, so that the device has something to do. */
static void the_next_one_is_read_before_the_last_one_ends(void **state) {
  (void)state;
  struct world w;
  begin(&w, 2);
  uint32_t most = 0;
  for (int i = 0; i < TURNS && counts[0].steps < 2; i++) {
    turn(&w, 0);
    if (w.run->workers[0].stepper.ready && w.run->workers[0].reader.streamed > most)
      most = w.run->workers[0].reader.streamed;
  }
  assert_int_equal(most, 2);
  go_on_to_the_end(&w);
  assert_int_equal(counts[0].steps, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(one_that_is_late_finds_a_chunk),
                                     cmocka_unit_test(equal_chunks_are_shared_out_equally),
                                     cmocka_unit_test(the_next_one_is_read_before_the_last_one_ends)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
