/* The engine on an object whose end shows when it is read, against the simulated backend: however its chunks
 * come in waves, in whatever order they are read, each is a step once, those behind the end are none, and
 * what is put in order stands so. LSIO_SIM_SEEDS / 5 seeds; LSIO_SIM_SEED runs one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state/engine.h"
#include "engine_job.h"
#include "ground/mem.h"
#include "memory/block.h"
#include "run_take.h"
#include "seams/os.h"
#include "test/sim.h"

#define CHUNK_MOST 5000u
#define CHUNKS_MOST 400u
#define READ_MOST 1000u /* at a time, by all workers */
#define HANGS_NS 20000000000u
#define FAIL(...) \
  (fprintf(stderr, "seed %llu: ", (unsigned long long)seed), fprintf(stderr, __VA_ARGS__), abort())

enum goes_to { NOWHERE, SINK, STREAM };

struct job {
  struct engine_job j; /* its dice, spec and plan */
  struct lsi_sim sim;
  struct lsi_sim_object object;
  struct lsi_run_config config;
  enum goes_to goes_to;
  uint32_t fail_one_in;
  uint64_t from, chunk, size, steps; /* size: from `from` on; steps: that there are, with the limit */
  bool endless;                /* it goes on behind the last byte that has a number */
  atomic_uint *seen;           /* by step */
  atomic_uint wrong;
  uint8_t *failed;             /* by step */
  uint8_t *out;
  uint64_t n_out, told;        /* bytes streamed; the last step of which something was told, and 1 */
  _Atomic(struct lsi_run *) run;
  uint64_t expires_at;         /* the step that sees the deadline pass; UINT64_MAX: none */
  uint64_t n_left, left_end;   /* steps that a deadline left, and the last of them, and 1 */
};

static uint64_t length_of(const struct job *t, uint64_t step) {
  return LSI_MIN(t->chunk, t->size - LSI_MIN(t->size, step * t->chunk));
}

/* ---- the transform: passes on what it sees ---- */

struct worker {
  struct job *t;
};

static int open_worker(void *job, unsigned worker, unsigned n_workers, struct lsi_step *step, void **state,
                       struct lsi_error *err) {
  (void)worker, (void)n_workers, (void)step;
  struct worker *w = lsi_malloc(sizeof *w);
  if (!w) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory");
  w->t = job;
  *state = w;
  return 0;
}

static int step(void *state, struct lsi_step *s, struct lsi_error *err) {
  struct job *t = ((struct worker *)state)->t;
  const struct lsi_chunk *c = &s->chunk[0];
  const uint64_t index = (uint64_t)s->index, n = (uint64_t)c->bytes;
  const bool right = index < t->steps && n == length_of(t, index) && c->length == c->bytes &&
                     c->offset == (double)(t->from + index * t->chunk) && c->object_size > 1e300 &&
                     strcmp(c->name, t->object.name) == 0;
  if (!right) atomic_fetch_add(&t->wrong, 1);
  for (uint64_t i = 0; right && i < n; i++)
    if (((const uint8_t *)c->data)[i] != lsi_sim_byte(&t->sim, 0, t->from + index * t->chunk + i))
      atomic_fetch_add(&t->wrong, 1);
  if (right) atomic_fetch_add(&t->seen[index], 1);
  if (index >= t->expires_at && t->run) lsi_run_expire(t->run);
  if (t->fail_one_in && index % t->fail_one_in == 0)
    return lsi_fail(err, LSIO_ERR_TRANSFORM, 0, "failed on purpose");
  if (t->goes_to == NOWHERE) {
    s->result = LSI_RESULT_NONE;
    return 0;
  }
  if (n) memcpy(s->out, c->data, n);
  s->result = LSI_RESULT_COUNT;
  s->result_n = (double)n;
  return 0;
}

static int finish(void *state, struct lsi_error *err) {
  (void)state, (void)err;
  return 0;
}

static const struct lsi_transform_ops transform = {
    .name = "test", .open_worker = open_worker, .step = step, .finish = finish, .close = lsi_free};

/* ---- one job ---- */

static void make_plan(struct job *t) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct engine_job *j = &t->j;
  lsi_spec_init(&j->spec);
  struct lsi_request *r = j->spec.request = lsi_request_create();
  const struct lsi_object_info info = lsi_sim_info(&t->object, 0);
  assert_int_equal(lsi_request_add_object(r, t->object.name, &info, NULL, &e), 0);
  assert_int_equal(lsi_request_cut_on(r, 0, t->from, t->chunk, &e), 0);
  t->steps = t->size ? (t->size + t->chunk - 1) / t->chunk : 1;
  if (engine_job_random(j, 3) == 0) {
    const uint64_t limit = 1 + engine_job_random(j, CHUNKS_MOST);
    assert_int_equal(lsi_request_select(r, 0, 1, limit, &e), 0);
    t->endless &= t->steps < limit;
    t->steps = LSI_MIN(t->steps, limit);
  }
  struct lsi_device_model model;
  lsi_device_preset(LSI_DEVICE_MEMORY, &model);
  model.op_max = 0;
  const struct lsi_plan_options options = {.merge = LSI_MERGE_NEVER, .in_request_order = true, .n_devices = 1,
                                           .devices = &model};
  assert_int_equal(lsi_plan_build(r, &options, &j->plan, &e), 0);
}

static void draw(struct job *t, uint64_t seed) {
  memset(t, 0, sizeof *t);
  struct engine_job *j = &t->j;
  j->rng = seed;
  t->chunk = 1 + engine_job_random(j, CHUNK_MOST);
  t->size = engine_job_random(j, 8) ? engine_job_random(j, CHUNKS_MOST * t->chunk) : 0;
  if (engine_job_random(j, 4) == 0) t->size -= t->size % t->chunk; /* it ends where a chunk does */
  if (engine_job_random(j, 2)) t->from = engine_job_random(j, 1 << 20);
  t->endless = t->size >= t->chunk && engine_job_random(j, 8) == 0;
  if (t->endless) {
    t->size -= t->size % t->chunk;
    t->from = LSI_ENDLESS - t->size - engine_job_random(j, t->chunk);
  }
  const uint64_t end = t->endless ? LSI_ENDLESS : t->from + t->size;
  t->object = (struct lsi_sim_object){.name = "endless", .size = LSI_ENDLESS, .real_size = end};
  t->sim = (struct lsi_sim){.seed = seed, .objects = &t->object, .n_objects = 1, .delay_max = 50};
  engine_job_faults(j, &t->sim);
  if (engine_job_random(j, 10) == 0 && !t->endless) t->sim.bad_block = 5;
  t->goes_to = (enum goes_to)engine_job_random(j, 3);
}

static void make(struct job *t, uint64_t seed, const struct lsi_backend_ops *backend) {
  draw(t, seed);
  make_plan(t);
  struct engine_job *j = &t->j;
  static const uint32_t waves[] = {1, 2, 7, 0, 16384};
  const bool identity = t->goes_to != NOWHERE && engine_job_random(j, 2);
  j->spec.type = (struct lsi_dtype){LSI_U8, false};
  j->spec.identity = identity;
  j->spec.on_error = engine_job_random(j, 2) ? LSI_ON_ERROR_SKIP : LSI_ON_ERROR_FAIL;
  if (!identity) {
    j->spec.transform = &transform;
    j->spec.transform_job = t;
    j->spec.has_out_max = t->goes_to != NOWHERE;
    j->spec.out_max = t->chunk;
    if (j->spec.on_error == LSI_ON_ERROR_SKIP) t->fail_one_in = (uint32_t)engine_job_random(j, 2) * 5;
  }
  t->seen = lsi_calloc(t->steps, sizeof *t->seen);
  t->failed = lsi_calloc(t->steps + READ_MOST, 1);
  t->out = lsi_calloc(t->size + 1, 1);
  t->config = (struct lsi_run_config){
      .spec = &j->spec, .plan = j->plan, .stores = lsi_sim_stores, .backend = backend,
      .backend_user = &t->sim, .sink_type = j->spec.type, .sink_variable = t->goes_to == SINK,
      .sink_device = UINT32_MAX, .stream = t->goes_to == STREAM, .by_step = t->goes_to == STREAM,
      .window = 4 * CHUNK_MOST, .workers = 1 + (uint32_t)engine_job_random(j, 3),
      .wave_steps = waves[engine_job_random(j, LSI_COUNTOF(waves))],
      .share = LSI_MAX(j->plan->unit_bytes_max, (uint64_t)1 << 18) + 2 * t->chunk};
  if (t->goes_to != SINK) return;
  j->spec.sink.kind = LSI_SINK_MEMORY;
  const struct lsi_sink_config sc = {.spec = &j->spec.sink, .memory = t->out, .memory_bytes = t->size + 1,
                                     .type = j->spec.type, .n_steps = UINT32_MAX, .variable = true,
                                     .window_bytes = (1 + engine_job_random(j, 6)) * CHUNK_MOST};
  struct lsi_error e;
  lsi_error_clear(&e);
  if (lsi_sink_open(&sc, &t->config.sink, &e)) fail_msg("%s", e.what);
}

static void free_job(struct job *t) {
  lsi_free(t->seen);
  lsi_free(t->failed);
  lsi_free(t->out);
  lsi_plan_free(t->j.plan);
  lsi_spec_clear(&t->j.spec);
}

/* In the order of steps, if they are streamed. */
static void take(struct job *t, struct lsi_run_completion *c) {
  for (struct lsi_run_completion *then; c; c = then) {
    then = c->next;
    if (c->error) {
      /* Of what is being read when the deadline passes, and of the next one, nobody knows whether it is. */
      const bool known = c->error->kind != LSIO_KIND_TIMEOUT;
      const uint64_t most = t->steps + (known ? 0 : READ_MOST);
      if (c->step >= most || t->failed[c->step]++) atomic_fetch_add(&t->wrong, 1);
      if (c->error->offset != t->from + c->step * t->chunk) atomic_fetch_add(&t->wrong, 1);
      t->n_left += !known;
      if (!known) t->left_end = c->step + 1;
      if (t->goes_to == STREAM && c->step != t->told++) atomic_fetch_add(&t->wrong, 1);
    }
    for (uint32_t i = 0; !c->error && i < c->n; i++) {
      const struct lsio_result *x = &c->block->results[c->from + i];
      if (x->step != t->told++ || x->length != length_of(t, x->step)) atomic_fetch_add(&t->wrong, 1);
      else memcpy(t->out + t->n_out, c->block->data + x->begin, x->length);
      t->n_out += x->length;
    }
    lsi_run_free_completion(c);
  }
}

enum stop { TO_THE_END, CANCELLED, EXPIRED };

static uint64_t n_bad, n_left, n_many_waves, n_void, n_endless;

/* The code with which it ended, or the number of steps that its deadline left. */
static int64_t run(struct job *t, uint64_t seed, enum stop stop, uint64_t after_ns, uint32_t *steps) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_run *run;
  assert_int_equal(lsi_run_start(&t->config, &run, &e), 0);
  t->run = run;
  const uint64_t began = lsi_os_now_ns();
  const bool by_step = t->expires_at != UINT64_MAX;
  if (stop && !by_step) lsi_os_sleep_ns(after_ns);
  if (stop == CANCELLED) lsi_run_cancel(run);
  if (stop == EXPIRED && !by_step) lsi_run_expire(run);
  while (!lsi_run_ended(run)) {
    take(t, run_take(run, 100000000));
    if (lsi_os_now_ns() - began > HANGS_NS) FAIL("the run hangs");
  }
  for (struct lsi_run_completion *more; (more = lsi_run_take(run));) take(t, more);
  int64_t rc = lsi_run_join(run, &e);
  *steps = lsi_run_steps(run);
  if (t->config.sink && !rc) lsi_sink_set_steps(t->config.sink, *steps);
  if (!rc) rc = lsi_run_fill_left(run, &e);
  struct lsi_summary s;
  lsi_run_summary(run, &s);
  uint64_t bytes = 0;
  for (uint64_t i = 0; i < t->steps; i++) bytes += length_of(t, i);
  if (rc == 0 && (s.steps + s.steps_failed != t->steps || s.bytes_requested != bytes))
    FAIL("%llu steps, %llu bytes", (unsigned long long)s.steps, (unsigned long long)s.bytes_requested);
  n_void += rc == 0 && s.operations > t->steps;
  if (rc >= 0 && (t->n_left != (uint64_t)rc || t->left_end > *steps))
    FAIL("%llu steps up to %llu are left", (unsigned long long)t->n_left, (unsigned long long)t->left_end);
  lsi_run_destroy(run);
  return rc;
}

/* What has been passed on: all of it, but for steps that failed. */
static void check_out(const struct job *t, uint64_t seed, uint64_t steps) {
  const uint8_t *got = t->out;
  for (uint64_t s = 0; s < steps; s++)
    for (uint64_t i = 0, n = t->failed[s] ? 0 : length_of(t, s); i < n; i++)
      if (*got++ != lsi_sim_byte(&t->sim, 0, t->from + s * t->chunk + i))
        FAIL("step %llu, byte %llu", (unsigned long long)s, (unsigned long long)i);
}

static void check(struct job *t, uint64_t seed, enum stop stop, int64_t rc, uint32_t steps) {
  const bool bad = lsi_sim_bad(&t->sim, 0, t->from, LSI_MIN(t->size, t->steps * t->chunk));
  if (atomic_load(&t->wrong)) FAIL("%u wrong", atomic_load(&t->wrong));
  n_bad += bad && rc == LSIO_ERR_IO;
  n_left += rc > 0;
  n_many_waves += t->steps > 64 + t->config.wave_steps;
  n_endless += rc == LSIO_ERR_LIMIT;
  if (stop == TO_THE_END && rc != (bad ? LSIO_ERR_IO : t->endless ? LSIO_ERR_LIMIT : 0))
    FAIL("code %lld", (long long)rc);
  if (rc < 0) return;
  if (rc == 0 && steps != t->steps) FAIL("%u steps", steps);
  for (uint64_t i = 0; i < t->steps; i++) {
    const uint32_t seen = atomic_load(&t->seen[i]);
    const bool once = t->j.spec.identity || (t->failed[i] ? seen <= 1 : i >= steps ? !seen : seen == 1);
    if (!once) FAIL("step %llu was seen %u times", (unsigned long long)i, seen);
  }
  if (t->goes_to != NOWHERE) check_out(t, seed, LSI_MIN(steps, (uint32_t)t->steps));
}

static void with(uint64_t seed, const struct lsi_backend_ops *backend) {
  static struct job t;
  make(&t, seed, backend);
  struct engine_job *j = &t.j;
  enum stop stop = engine_job_random(j, 3) ? TO_THE_END : (enum stop)(1 + engine_job_random(j, 2));
  if (stop == EXPIRED && j->spec.on_error == LSI_ON_ERROR_FAIL) stop = CANCELLED;
  t.expires_at = UINT64_MAX;
  if (stop == EXPIRED && engine_job_random(j, 4) && !j->spec.identity)
    t.expires_at = engine_job_random(j, 2) ? t.steps - 1 : engine_job_random(j, t.steps);
  uint32_t steps;
  const int64_t rc = run(&t, seed, stop, engine_job_random(j, 2) * engine_job_random(j, 1000000), &steps);
  struct lsi_error e;
  lsi_error_clear(&e);
  if (t.config.sink && rc < 0) lsi_sink_discard(t.config.sink);
  else if (t.config.sink && lsi_sink_publish(t.config.sink, &e)) FAIL("%s", e.what);
  check(&t, seed, stop, rc, steps);
  free_job(&t);
}

/* In the order in which they are handed out, one read a worker; and as others do, many in any order. */
static void one_seed(uint64_t seed) {
  static struct lsi_backend_ops in_order;
  in_order = lsi_backend_sim;
  in_order.caps |= LSI_CAP_IN_ORDER;
  with(seed, seed % 2 ? &in_order : &lsi_backend_sim);
}

static void each_chunk_is_a_step_once(void **state) {
  (void)state;
  const uint64_t n = engine_job_seeds(one_seed, 5, 400);
  if (n >= 300) assert_true(n_bad > 0 && n_left > 0 && n_many_waves > 10 && n_void > 10 && n_endless > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(each_chunk_is_a_step_once)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
