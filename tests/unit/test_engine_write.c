/* The engine with a direct sink, against the simulated backend: random cuts and orders, results made by
 * a transform, by conversion, or written from where they were read; writes that end early, fail, or have
 * to be asked again. The file holds what it should, or the run has failed and says where. A tenth
 * of LSIO_SIM_SEEDS is how many seeds, for each takes ten times as long as one of test_engine;
 * LSIO_SIM_SEED runs one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/state/engine.h"
#include "ground/mem.h"
#include "linux/linux_handle.h"
#include "run_take.h"
#include "seams/os.h"
#include "test/sim.h"

#define FILL 7
#define OBJECTS 3

enum how { COPY, CAST, TRANSFORM, HOWS };

struct world {
  uint64_t seed, rng;
  enum how how;
  struct lsi_sim sim;
  struct lsi_sim_object objects[OBJECTS];
  struct lsi_spec spec;
  struct lsi_dtype type; /* of the sink */
  struct lsi_sink *sink;
  struct lsi_plan *plan;
  uint64_t *pos;
  uint32_t cap;
  int64_t expires_ns; /* < 0: never */
  bool *failed;       /* by step: so it was reported */
  char dir[64], path[96];
};

static uint64_t draw(struct world *w, uint64_t n) {
  uint64_t z = (w->rng += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return n ? (z ^ (z >> 31)) % n : 0;
}

/* ---- the transform: 3 x + 1 as u16, one in eleven steps fails ---- */

static bool step_fails(double index) { return (uint64_t)index % 11 == 5; }

static int open_worker(void *job, unsigned worker, unsigned n_workers, struct lsi_step *step,
                       void **state, struct lsi_error *err) {
  (void)job, (void)worker, (void)n_workers, (void)err;
  *state = step;
  return 0;
}

static int step(void *state, struct lsi_step *s, struct lsi_error *err) {
  (void)state;
  if (step_fails(s->index)) return lsi_fail(err, LSIO_ERR_TRANSFORM, 0, "failed on purpose");
  const uint8_t *in = s->chunk[0].data;
  uint16_t *out = s->out;
  assert_true(s->out_n == s->chunk[0].n);
  for (uint64_t i = 0; i < (uint64_t)s->out_n; i++) out[i] = (uint16_t)(3 * in[i] + 1);
  s->result = LSI_RESULT_FULL;
  return 0;
}

static int finish(void *state, struct lsi_error *err) {
  (void)state, (void)err;
  return 0;
}

static void close_worker(void *state) { (void)state; }

static const struct lsi_transform_ops transform = {
    .open_worker = open_worker, .step = step, .finish = finish, .close = close_worker};

/* ---- the world ---- */

/* To the sink's own file, so that what is there afterwards can be looked at. */
static int64_t put(const struct lsi_handle *h, const void *data, uint64_t length, uint64_t offset) {
  const ssize_t n = pwrite(lsi_linux_file(h)->fd, data, length, (off_t)offset);
  return n < 0 ? -errno : n;
}

static void make_objects(struct world *w, uint64_t device) {
  w->sim = (struct lsi_sim){.seed = w->seed, .objects = w->objects, .n_objects = OBJECTS,
                            .put = put};
  w->sim.delay_max = (uint32_t)draw(w, 2) * 50;
  if (draw(w, 2)) {
    w->sim.bad_block = (uint32_t)draw(w, 2) * 10;
    w->sim.short_read = (uint32_t)draw(w, 3) * 100;
    w->sim.short_write = (uint32_t)draw(w, 3) * 100;
    w->sim.again = (uint32_t)draw(w, 2) * 20;
    w->sim.full = (uint32_t)draw(w, 2) * 200;
    w->sim.write_error = (uint32_t)draw(w, 3) * 20;
  }
  w->cap = (uint32_t)draw(w, 2) * (1 + (uint32_t)draw(w, 12)); /* reads and writes share it */
  w->sim.cap[device % LSI_SIM_DEVICES] = w->cap;
  for (uint32_t i = 0; i < OBJECTS; i++) {
    struct lsi_sim_object *o = &w->objects[i];
    snprintf(o->name, sizeof o->name, "object%u", i);
    o->size = o->real_size = draw(w, 3) ? draw(w, 600000) : draw(w, 200) * LSI_ALIGN;
    o->device = device;
  }
}

static void make_request(struct world *w) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_request *r = w->spec.request = lsi_request_create();
  for (uint32_t i = 0; i < OBJECTS; i++) {
    const struct lsi_sim_object *o = &w->objects[i];
    const struct lsi_object_info info = lsi_sim_info(o, i);
    uint32_t index;
    assert_int_equal(lsi_request_add_object(r, o->name, &info, &index, &e), 0);
  }
  static const uint64_t cuts[] = {65536, 131072, 90000, 4096, 0};
  for (uint32_t i = 0; i < OBJECTS; i++) {
    const uint64_t size = w->objects[i].size, at = draw(w, 2) ? 0 : draw(w, size + 1);
    assert_int_equal(lsi_request_cut(r, i, at, UINT64_MAX, cuts[draw(w, LSI_COUNTOF(cuts))], &e), 0);
  }
}

static void make_plan(struct world *w) {
  struct lsi_request *r = w->spec.request;
  struct lsi_error e;
  lsi_error_clear(&e);
  lsi_free(r->object_device);
  r->object_device = lsi_calloc(OBJECTS, sizeof *r->object_device);
  struct lsi_device_model model;
  lsi_device_preset((enum lsi_device_kind)draw(w, LSI_DEVICE_KINDS), &model);
  model.cap = w->cap;
  struct lsi_plan_options options = {.merge = draw(w, 2) ? LSI_MERGE_AUTO : LSI_MERGE_NEVER,
                                     .n_devices = 1, .devices = &model};
  assert_int_equal(lsi_plan_build(r, &options, &w->plan, &e), 0);
  w->pos = lsi_calloc(r->n_steps + 1u, sizeof *w->pos);
  for (uint32_t s = 0; s < r->n_steps; s++) w->pos[s + 1] = w->pos[s] + r->length[s];
}

/* The sink is opened twice: what device it is on must be known before there is a plan. 77: no O_DIRECT. */
static int open_sink(struct world *w, uint64_t total, uint32_t n_steps) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_sink_config c = {.spec = &w->spec.sink, .path = w->path, .type = w->type,
                              .n_steps = n_steps, .total = total, .direct = LSI_DIRECT_ALWAYS};
  int rc = lsi_sink_open(&c, &w->sink, &e);
  if (rc == LSIO_ERR_UNSUPPORTED) return 77;
  if (rc) fail_msg("seed %llu: %s", (unsigned long long)w->seed, e.what);
  return 0;
}

/* ---- what must be there ---- */

static double wanted(const struct world *w, uint32_t step, uint64_t i) {
  const struct lsi_request *r = w->spec.request;
  const bool lost = lsi_sim_bad(&w->sim, r->object[step], r->offset[step], r->length[step]);
  const bool bad = lost || (w->how == TRANSFORM && step_fails(step));
  if (w->expires_ns < 0) assert_int_equal(w->failed[step], bad);
  if (bad) assert_true(w->failed[step]);
  if (w->failed[step]) return FILL;
  const uint8_t in = lsi_sim_byte(&w->sim, r->object[step], r->offset[step] + i);
  return w->how == TRANSFORM ? 3 * in + 1 : in;
}

static void check_file(struct world *w) {
  const struct lsi_request *r = w->spec.request;
  const size_t item = lsi_type_size(w->type.type), header = w->spec.sink.kind == LSI_SINK_NPY ? 4096 : 0;
  FILE *f = fopen(w->path, "rb");
  assert_non_null(f);
  const size_t bytes = header + w->pos[r->n_steps] * item;
  unsigned char *all = malloc(bytes + 1);
  assert_int_equal(fread(all, 1, bytes + 1, f), bytes);
  fclose(f);
  for (uint32_t s = 0; s < r->n_steps; s++)
    for (uint64_t i = 0; i < r->length[s]; i++) {
      uint32_t got = 0;
      memcpy(&got, all + header + (w->pos[s] + i) * item, item);
      if (got != wanted(w, s, i))
        fail_msg("seed %llu: step %u, element %llu: %u", (unsigned long long)w->seed, s,
                 (unsigned long long)i, got);
    }
  free(all);
}

static uint64_t n_left; /* jobs whose deadline left some steps */

static void take_failures(struct world *w, struct lsi_run_completion *c) {
  for (struct lsi_run_completion *next; c; c = next) {
    next = c->next;
    assert_non_null(c->error);
    assert_false(w->failed[c->step]);
    w->failed[c->step] = true;
    lsi_run_free_completion(c);
  }
}

static int run(struct world *w, struct lsi_run_config *c, struct lsi_error *e, struct lsi_summary *s) {
  struct lsi_run *run;
  lsi_error_clear(e);
  assert_int_equal(lsi_run_start(c, &run, e), 0);
  if (w->expires_ns >= 0) {
    lsi_os_sleep_ns((uint64_t)w->expires_ns);
    lsi_run_expire(run);
  }
  while (!lsi_run_ended(run)) take_failures(w, run_take(run, 1000000000));
  for (struct lsi_run_completion *more; (more = lsi_run_take(run));) take_failures(w, more);
  int rc = lsi_run_join(run, e);
  const int64_t left = rc ? 0 : lsi_run_fill_left(run, e);
  if (left < 0) rc = (int)left;
  n_left += left > 0;
  lsi_run_summary(run, s);
  s->workers = NULL;
  lsi_run_destroy(run);
  if (!rc) assert_int_equal(s->steps + s->steps_failed, w->spec.request->n_steps);
  return rc;
}

static struct lsi_run_config config_of(struct world *w) {
  uint64_t largest = 0;
  for (uint32_t s = 0; s < w->spec.request->n_steps; s++)
    largest = LSI_MAX(largest, w->spec.request->length[s]);
  const uint64_t priced = w->how == COPY ? 0 : 4 * largest;
  /* Room for one result, or for many; or for none but what is written from where it was read. */
  static const uint64_t rooms[] = {0, 200000, 1 << 20, 64 << 20};
  return (struct lsi_run_config){
      .spec = &w->spec, .plan = w->plan, .stores = lsi_sim_stores, .backend = &lsi_backend_sim,
      .backend_user = &w->sim,
      .sink = w->sink, .sink_pos = w->pos, .sink_type = w->type, .sink_device = 0,
      .workers = 1 + (uint32_t)draw(w, 3),
      .share = w->plan->unit_bytes_max + priced + rooms[draw(w, LSI_COUNTOF(rooms))],
      .direct = LSI_DIRECT_ALWAYS};
}

static void the_end(struct world *w, int rc, const struct lsi_error *e, const struct lsi_summary *s) {
  const uint64_t refused = atomic_load(&w->sim.writes_failed);
  if (rc == 0) {
    struct lsi_error ignored;
    lsi_error_clear(&ignored);
    assert_int_equal(refused, 0);
    assert_int_equal(lsi_sink_publish(w->sink, &ignored), 0);
    check_file(w);
    unlink(w->path);
    return;
  }
  (void)s;
  if (rc != LSIO_ERR_OUTPUT || !refused)
    fail_msg("seed %llu: %s, %d writes refused", (unsigned long long)w->seed, e->what, (int)refused);
  assert_string_equal(e->object, w->path);
  assert_true(e->offset != LSI_NO_OFFSET && e->offset % 512 == 0);
  assert_true(e->os_code && e->step != LSI_NO_STEP);
  assert_string_equal(e->what, "an output file can't be written");
  lsi_sink_discard(w->sink);
  assert_int_not_equal(access(w->path, F_OK), 0);
}

/* False: no direct writes here. */
static bool one_seed(uint64_t seed, const char *dir, uint64_t *direct, uint64_t *failed) {
  struct world w = {.seed = seed, .rng = seed};
  lsi_spec_init(&w.spec);
  snprintf(w.path, sizeof w.path, "%s/out", dir);
  w.how = (enum how)draw(&w, HOWS);
  w.type = (struct lsi_dtype){w.how == COPY ? LSI_U8 : w.how == CAST ? LSI_U32 : LSI_U16, false};
  w.spec.type = (struct lsi_dtype){LSI_U8, false};
  w.spec.identity = w.how != TRANSFORM;
  w.spec.transform = w.how == TRANSFORM ? &transform : NULL;
  w.spec.has_fill = true;
  w.spec.fill = FILL;
  w.spec.on_error = LSI_ON_ERROR_SKIP;
  w.spec.sink.kind = draw(&w, 2) ? LSI_SINK_NPY : LSI_SINK_RAW;
  w.spec.sink.durability = draw(&w, 8) ? LSI_DURABLE_NONE : LSI_DURABLE_EACH;
  if (open_sink(&w, 0, 1)) {
    lsi_spec_clear(&w.spec);
    return false;
  }
  const uint64_t device = lsi_sink_handle(w.sink)->info.device;
  lsi_sink_discard(w.sink);
  make_objects(&w, device);
  make_request(&w);
  make_plan(&w);
  open_sink(&w, w.pos[w.spec.request->n_steps], w.spec.request->n_steps);
  struct lsi_run_config c = config_of(&w);
  w.failed = lsi_calloc(w.spec.request->n_steps + 1u, sizeof *w.failed);
  w.expires_ns = draw(&w, 3) ? -1 : draw(&w, 2) ? 0 : (int64_t)draw(&w, 2000000);
  c.deadline_ns = 1000000;
  struct lsi_error e;
  struct lsi_summary s = {0};
  const int rc = run(&w, &c, &e, &s);
  the_end(&w, rc, &e, &s);
  *direct += s.bytes_direct;
  *failed += rc != 0;
  lsi_plan_free(w.plan);
  lsi_free(w.pos);
  lsi_free(w.failed);
  lsi_spec_clear(&w.spec);
  return true;
}

/* False: no direct writes below `at`. */
static bool all_seeds(const char *at) {
  const char *one = getenv("LSIO_SIM_SEED"), *many = getenv("LSIO_SIM_SEEDS");
  char dir[64];
  snprintf(dir, sizeof dir, "%s/lsio-write-XXXXXX", at);
  if (!mkdtemp(dir)) return false;
  uint64_t n = many ? strtoull(many, NULL, 10) / 10 : 150, direct = 0, failed = 0;
  bool here = true;
  for (uint64_t seed = 1; here && seed <= n && !one; seed++) here = one_seed(seed, dir, &direct, &failed);
  if (one) here = one_seed(strtoull(one, NULL, 10), dir, &direct, &failed);
  assert_int_equal(rmdir(dir), 0);
  if (here && !one && n >= 100) assert_true(direct > 0 && failed > 0 && n_left > 0);
  return here;
}

static void results_reach_the_file(void **state) {
  (void)state;
  int64_t live = lsi_mem_live();
  const bool here = all_seeds("/dev/shm") || all_seeds("/tmp");
  assert_int_equal(lsi_mem_live(), live);
  if (!here) skip();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(results_reach_the_file)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
