/* The engine against the simulated backend: thousands of random jobs with random faults. Every step
 * must be delivered exactly once with the right bytes, or reported as failed exactly once, and fail only
 * if its own bytes can't be had. LSIO_SIM_SEEDS says how many seeds (default 2,000), from
 * LSIO_SIM_FIRST on (1); LSIO_SIM_SEED
 * runs one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine_job.h"
#include "run_take.h"
#include "step_transform.h"
#include "test/sim.h"

static uint8_t sim_byte(const void *ctx, uint32_t object, uint64_t offset) {
  return lsi_sim_byte(ctx, object, offset);
}

struct world {
  struct lsi_sim sim;
  struct lsi_sim_object objects[4];
  struct lsi_object_info infos[4];
  const char *names[4];
  bool moved; /* an object changes or shrinks: the job must stop */
  bool calm;  /* nothing goes wrong in the backend */
};

static void make_world(struct world *w, struct engine_job *j, uint64_t seed) {
  memset(w, 0, sizeof *w);
  j->rng = seed;
  w->sim.seed = seed;
  w->sim.objects = w->objects;
  w->sim.n_objects = 1 + (uint32_t)engine_job_random(j, 4);
  const bool calm = w->calm = engine_job_random(j, 3) == 0;
  for (uint32_t i = 0; i < w->sim.n_objects; i++) {
    struct lsi_sim_object *o = &w->objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = engine_job_random(j, 4) ? engine_job_random(j, 300000) : 0;
    o->device = i & 1;
    if (!calm && engine_job_random(j, 40) == 0 && o->size) {
      o->real_size = engine_job_random(j, o->size);
      w->moved = true;
    }
    if (!calm && engine_job_random(j, 40) == 0) w->moved = o->changed_at_open = true;
    if (!calm && engine_job_random(j, 40) == 0) w->moved = o->changed_at_close = true;
    o->missing = engine_job_random(j, 30) == 0;
    o->gone = engine_job_random(j, 30) == 0;
    w->calm &= !o->gone;
    w->names[i] = o->name;
    w->infos[i] = lsi_sim_info(o, i);
  }
  w->sim.delay_max = (uint32_t)engine_job_random(j, 2) * 50;
  if (calm) return;
  w->sim.bad_block = (uint32_t)engine_job_random(j, 3) * 20;
  engine_job_faults(j, &w->sim);
}

/* Steps that must fail: bad blocks under one of their chunks, or the transform's own choice. */
static uint32_t must_fail(const struct world *w, const struct engine_job *j) {
  const struct lsi_request *r = j->spec.request;
  uint32_t n = 0;
  for (uint32_t s = 0; s < r->n_steps; s++) {
    bool bad = j->fail_one_in && s % j->fail_one_in == j->fail_one_in - 1;
    for (uint32_t c = lsi_request_chunk_begin(r, s); c < lsi_request_chunk_end(r, s); c++)
      bad |= w->objects[r->object[c]].gone || lsi_fault_find(r, c) ||
             lsi_sim_bad(&w->sim, r->object[c], r->offset[c], r->length[c]);
    n += bad;
  }
  return n;
}

/* Every object of a chunk is opened, and closed after what was read of it. */
static bool reads_what_moved(const struct world *w, const struct engine_job *j) {
  const struct lsi_request *r = j->spec.request;
  for (uint32_t c = 0; c < r->n_chunks; c++) {
    const struct lsi_sim_object *o = &w->objects[r->object[c]];
    if (!o->missing && !o->gone && (o->changed_at_open || o->changed_at_close || o->real_size < o->size)) return true;
  }
  return false;
}

/* Has it units of several objects, which must be open at once? */
static bool needs_many(const struct lsi_plan *p) {
  for (uint32_t u = 0; u < p->n_units; u++)
    for (uint32_t x = p->unit_extent[u] + 1; x < p->unit_extent[u + 1]; x++)
      if (p->extents[x].object != p->extents[x - 1].object) return true;
  return false;
}

/* Is what was read beyond what was asked for known by its causes? */
static bool over_read_is_explained(const struct world *w, const struct engine_job *j) {
  const struct lsi_summary *s = &j->summary;
  const uint64_t planned = s->bytes_read - s->bytes_alignment - s->bytes_retried;
  const bool all = planned == j->plan->bytes_planned && !s->bytes_retried;
  /* Of a step that is streamed no more is read when it has failed. */
  const bool stops = j->plan->ahead && s->steps_failed;
  return s->bytes_gaps == j->plan->bytes_gaps && s->bytes_twice == j->plan->bytes_twice &&
         s->bytes_alignment == atomic_load(&w->sim.beside) &&
         (all || ((!w->calm || stops) && planned < j->plan->bytes_planned));
}

static void expect(bool ok, uint64_t seed, const char *what, int rc, const struct lsi_error *e) {
  if (ok) return;
  char text[1700];
  lsi_error_format(e, text, sizeof text);
  fail_msg("seed %llu: %s (code %d: %s)", (unsigned long long)seed, what, rc, text);
}

static bool by_turns;
static uint64_t last_hash;

static void one_seed(uint64_t seed) {
  struct world w;
  struct engine_job j;
  make_world(&w, &j, seed);
  engine_job_build(&j, seed, w.sim.n_objects, w.names, w.infos, 80);
  if (engine_job_random(&j, 4) == 0) j.fail_one_in = 2 + (uint32_t)engine_job_random(&j, 20);
  j.byte_at = sim_byte;
  j.ctx = &w.sim;
  j.config.stores = lsi_sim_stores;
  static struct lsi_backend_ops paced;
  paced = lsi_backend_sim;
  paced.caps |= LSI_CAP_PACES | LSI_CAP_PINNED;
  j.config.backend = engine_job_random(&j, 4) ? &lsi_backend_sim : &paced;
  j.config.backend_user = &w.sim;
  for (uint32_t d = 0; d < 2; d++)
    w.sim.cap[d] = j.config.queue_depth ? j.config.queue_depth : j.plan->devices[d].cap;
  int64_t cancel = engine_job_random(&j, 10) == 0 ? (int64_t)engine_job_random(&j, 300000) : -1;
  struct lsi_error e;
  lsi_error_clear(&e);
  j.turns = by_turns ? &w.sim : NULL;
  int rc = engine_job_run(&j, seed, cancel, &e);
  last_hash = j.hash;
  uint32_t bad = must_fail(&w, &j);
  if (rc == 0) {
    uint32_t failed = 0;
    for (uint32_t s = 0; s < j.spec.request->n_steps; s++) failed += !atomic_load(&j.delivered[s]);
    if (failed != bad) fprintf(stderr, "%u steps failed, %u should\n", failed, bad);
    expect(failed == bad, seed, "steps failed that should not, or the other way round", rc, &e);
    expect(j.spec.on_error == LSI_ON_ERROR_SKIP || !bad, seed, "the job went on after a failure", rc,
           &e);
    if (w.calm && !bad && !j.plan->ahead) /* streamed ones are cut as there is room */
      expect(atomic_load(&w.sim.operations) == j.plan->operations, seed, "not the operations of the plan", rc, &e);
    expect(over_read_is_explained(&w, &j), seed, "bytes were read and nobody knows why", rc, &e);
    expect(!reads_what_moved(&w, &j), seed, "the job went on although an object had changed", rc, &e);
  } else if (rc == LSIO_ERR_SOURCE) {
    const bool fails = bad && j.spec.on_error == LSI_ON_ERROR_FAIL;
    expect((w.moved || fails) && e.object[0], seed, "nothing had changed, or no object named", rc, &e);
  } else if (rc == LSIO_ERR_IO && (e.os_code == EMFILE || e.os_code == ENFILE)) {
    expect(w.sim.emfile && e.object[0], seed, "descriptors were not short", rc, &e);
    expect(needs_many(j.plan), seed, "one object at a time can always be opened", rc, &e);
  } else if (rc != LSIO_ERR_CANCELLED) {
    expect(bad && j.spec.on_error == LSI_ON_ERROR_FAIL, seed, "the job failed for nothing", rc, &e);
    expect(e.object[0] && e.offset != LSI_NO_OFFSET && e.step != LSI_NO_STEP, seed,
           "an error without object, offset or step", rc, &e);
  } else {
    expect(cancel >= 0, seed, "cancelled by nobody", rc, &e);
  }
  engine_job_free(&j);
}

static void every_step_ends_exactly_once(void **state) {
  (void)state;
  engine_job_seeds(one_seed, 1, 2000);
}

static void every_step_ends_exactly_once_by_turns(void **state) {
  (void)state;
  by_turns = true;
  engine_job_seeds(one_seed, 1, 2000);
  by_turns = false;
}

/* Or a seed that fails could not be looked at again. */
static void one_seed_does_the_same_things(void **state) {
  (void)state;
  by_turns = true;
  for (uint64_t seed = 1; seed <= 50; seed++) {
    one_seed(seed);
    const uint64_t hash = last_hash;
    one_seed(seed);
    if (last_hash != hash) fail_msg("seed %llu did other things", (unsigned long long)seed);
  }
  by_turns = false;
}

static int does_nothing(void *state, struct lsi_step *s, struct lsi_error *err) {
  (void)state, (void)s, (void)err;
  return 0;
}

/* Two chunks lie in a bad block, and one that reaches beyond the end between them: of that nothing is read. Where
 * the backend says that it is no use, the two are not read alone either. */
static void fault_is_not_read_again(bool final) {
  static const struct lsi_transform_ops transform = STEP_TRANSFORM(does_nothing);
  struct lsi_sim_object object = {.name = "bad", .size = 5000, .real_size = 5000};
  struct lsi_sim sim = {.objects = &object, .n_objects = 1, .bad_block = 1000,
                        .final = final ? 1000 : 0};
  const struct lsi_object_info info = lsi_sim_info(&object, 0);
  static const int64_t offset[] = {0, 2000, 4096}, length[] = {4096, 1 << 20, 100};
  static const int codes[] = {LSIO_ERR_IO, LSIO_ERR_SOURCE, LSIO_ERR_IO};
  struct lsi_spec spec;
  lsi_spec_init(&spec);
  spec.type = (struct lsi_dtype){LSI_U8, false};
  spec.transform = &transform;
  spec.on_error = LSI_ON_ERROR_SKIP;
  struct lsi_request *r = spec.request = lsi_request_create();
  r->keeps = LSI_KEEP_ALL;
  assert_int_equal(lsi_request_add_object(r, object.name, &info, NULL, NULL), 0);
  for (int i = 0; i < 3; i++) assert_int_equal(lsi_request_add_chunk(r, 0, offset[i], length[i], 0, NULL), 0);
  struct lsi_device_model model;
  lsi_device_preset(LSI_DEVICE_MEMORY, &model);
  const struct lsi_plan_options options = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &model};
  struct lsi_plan *plan;
  assert_int_equal(lsi_plan_build(r, &options, &plan, NULL), 0);
  assert_int_equal(plan->n_units, 1);
  const struct lsi_run_config config = {.spec = &spec, .plan = plan, .stores = lsi_sim_stores, .sink_type = spec.type,
                                        .backend = &lsi_backend_sim, .backend_user = &sim, .workers = 1,
                                        .sink_device = UINT32_MAX, .share = 16u << 20};
  struct lsi_run *run;
  assert_int_equal(lsi_run_start(&config, &run, NULL), 0);
  int failed = 0;
  for (bool ended = false; !ended;) {
    ended = lsi_run_ended(run);
    for (struct lsi_run_completion *c = run_take(run, 100000000), *next; c; c = next) {
      next = c->next;
      failed++;
      assert_int_equal(c->error->code, codes[c->step]);
      if (final && codes[c->step] == LSIO_ERR_IO) assert_string_equal(c->error->what, "the simulated disk says no");
      lsi_run_free_completion(c);
    }
  }
  assert_int_equal(lsi_run_join(run, NULL), 0);
  struct lsi_summary s;
  lsi_run_summary(run, &s);
  assert_true(failed == 3 && s.steps == 0 && s.steps_failed == 3);
  assert_int_equal(s.operations, final ? 1 : 3); /* all that lies in the block, and each of the two alone */
  lsi_run_destroy(run);
  lsi_plan_free(plan);
  lsi_spec_clear(&spec);
}

static void what_has_a_fault_is_not_read_again(void **state) {
  (void)state;
  fault_is_not_read_again(false);
  fault_is_not_read_again(true);
}

int main(void) {
  engine_job_pieces = engine_job_faulty = true;
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_step_ends_exactly_once),
                                     cmocka_unit_test(every_step_ends_exactly_once_by_turns),
                                     cmocka_unit_test(one_seed_does_the_same_things),
                                     cmocka_unit_test(what_has_a_fault_is_not_read_again)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
