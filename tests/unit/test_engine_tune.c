/* What workers find out by trying, and what is pinned: whether files are lent, results stored past the cache, and
 * bytes read straight to their place. One object is read from the start to the end by a backend that says of
 * it what each test needs, and counts which way the bytes came. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state/engine.h"
#include "ground/mem.h"
#include "kernels/kernels.h"
#include "run_take.h"
#include "seams/os.h"
#include "step_transform.h"

#define CHUNK (128u << 10)
#define SIZE ((uint64_t)64 << 20) /* more than a comparison takes, of either kind */
#define STEPS ((uint32_t)(SIZE / CHUNK))

static struct {
  bool mapped, direct;
  uint32_t caps;
  char *array; /* the result, or NULL */
  uint32_t lent, copied, straight; /* operations */
  uint32_t nontemporal, plain;      /* results */
  struct lsi_worker_summary found;
} world;

static const struct lsi_object_info info = {.size = SIZE, .version = {1}, .device = 1,
                                            .known = LSI_KNOWN_SIZE | LSI_KNOWN_VERSION};
static uint8_t *bytes; /* of the object */

/* ---- the backend ---- */

struct lsi_backend {
  struct lsi_op *done[64];
  int n;
};

static int b_probe(struct lsi_error *err) {
  (void)err;
  return 0;
}

static int b_stat(const void *user, const char *const *names, size_t n, struct lsi_object_info *infos,
                     struct lsi_watch *watch, bool faults, struct lsi_error *err) {
  (void)user, (void)names, (void)watch, (void)faults, (void)err;
  while (n) infos[--n] = info;
  return 0;
}

static const struct lsi_store store = {.stat_many = b_stat, .changed = lsi_object_changed};
static const struct lsi_store *const stores[] = {&store, NULL};

static int b_create(const struct lsi_backend_config *config, struct lsi_backend **out, struct lsi_error *err) {
  (void)config, (void)err;
  *out = lsi_calloc(1, sizeof **out);
  return *out ? 0 : LSIO_ERR_NOMEM;
}

static void b_destroy(struct lsi_backend *b) { lsi_free(b); }

static int b_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                  struct lsi_error *err) {
  (void)b, (void)order, (void)err;
  h->info = info;
  h->lends = h->mapped = h->resident = world.mapped; /* so little of it is in flight */
  h->direct = world.direct;
  return 0;
}

static int b_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = h->info;
  return 0;
}

static int b_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = h->info;
  return 0;
}

static int b_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  int taken = 0;
  for (; taken < n && b->n < 64; taken++) {
    struct lsi_op *op = ops[taken];
    op->result = op->length;
    if (!op->buf) {
      op->data = bytes + op->offset;
      world.lent++;
    } else {
      memcpy(op->buf, bytes + op->offset, op->length);
      const char *to = op->buf;
      if (world.array && to >= world.array && to < world.array + SIZE) world.straight++;
      else world.copied++;
    }
    b->done[b->n++] = op;
  }
  return taken;
}

static int b_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                  struct lsi_error *err) {
  (void)timeout_ns, (void)err;
  int n = 0;
  while (n < max && b->n) done[n++] = b->done[--b->n];
  return n;
}

static void b_release(struct lsi_backend *b, struct lsi_op *op) { (void)b, (void)op; }

/* ---- the transform: the bytes themselves, one more each ---- */

static uint64_t wrong;

static int t_step(void *state, struct lsi_step *s, struct lsi_error *err) {
  (void)state, (void)err;
  const uint8_t *data = s->chunk[0].data;
  wrong += memcmp(data, bytes + (uint64_t)s->chunk[0].offset, CHUNK) != 0;
  uint8_t *out = s->out;
  if (!out) return 0;
  *(lsi_nontemporal.bytes ? &world.nontemporal : &world.plain) += 1;
  for (uint32_t i = 0; i < CHUNK; i++) out[i] = (uint8_t)(data[i] + 1);
  return 0;
}

static const struct lsi_transform_ops transform = STEP_TRANSFORM(t_step);

/* ---- a run ---- */

static void run_to_the_end(struct lsi_run_config *c) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_run *run;
  assert_int_equal(lsi_run_start(c, &run, &e), 0);
  while (!lsi_run_ended(run))
    for (struct lsi_run_completion *done = run_take(run, 1000000000), *next; done; done = next) {
      next = done->next;
      lsi_run_free_completion(done);
    }
  if (lsi_run_join(run, &e) != 0) fail_msg("%s", e.what);
  struct lsi_summary s = {0};
  lsi_run_summary(run, &s);
  assert_int_equal(s.steps, STEPS);
  world.found = s.workers[0];
  lsi_run_destroy(run);
}

/* Reads all of the object, by the transform or as it is, into world.array if there is one. */
static void run(struct lsi_tune tune, bool transforms, enum lsi_direct direct, uint32_t queue_depth) {
  world.lent = world.copied = world.straight = world.nontemporal = world.plain = 0;
  wrong = 0;
  struct lsi_backend_ops ops = {
      .version = LSI_BACKEND_VERSION, .name = "tune",    .caps = world.caps,
      .probe = b_probe,               .create = b_create,
      .destroy = b_destroy,           .open = b_open,    .close = b_close,
      .submit = b_submit,             .reap = b_reap,    .release = b_release,
      .look = b_look,
  };
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_spec spec;
  lsi_spec_init(&spec);
  spec.request = lsi_request_create();
  assert_int_equal(lsi_request_add_object(spec.request, "object", &info, NULL, &e), 0);
  assert_int_equal(lsi_request_cut(spec.request, 0, 0, SIZE, CHUNK, &e), 0);
  spec.type = (struct lsi_dtype){LSI_U8, false};
  spec.identity = !transforms;
  spec.transform = transforms ? &transform : NULL;
  struct lsi_device_model model;
  lsi_device_preset(LSI_DEVICE_NVME, &model);
  struct lsi_plan_options options = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &model};
  struct lsi_plan *plan;
  assert_int_equal(lsi_plan_build(spec.request, &options, &plan, &e), 0);
  uint64_t pos[STEPS + 1];
  for (uint32_t i = 0; i <= STEPS; i++) pos[i] = (uint64_t)i * CHUNK;
  struct lsi_run_config c = {.spec = &spec, .plan = plan, .stores = stores, .backend = &ops, .sink_type = spec.type,
                             .sink_device = UINT32_MAX, .workers = 1, .share = 64u << 20,
                             .direct = direct, .queue_depth = queue_depth, .maps = true, .tune = tune};
  if (world.array) {
    spec.sink.kind = LSI_SINK_MEMORY;
    memset(world.array, 0, SIZE); /* its pages are there */
    struct lsi_sink_config sc = {.spec = &spec.sink, .memory = world.array, .memory_bytes = SIZE,
                                 .type = spec.type, .n_steps = STEPS, .total = SIZE};
    assert_int_equal(lsi_sink_open(&sc, &c.sink, &e), 0);
    c.in_place = true;
    c.sink_pos = pos;
  }
  run_to_the_end(&c);
  assert_int_equal(wrong, 0);
  if (world.array) {
    assert_int_equal(lsi_sink_publish(c.sink, &e), 0);
    for (uint64_t i = 0; i < SIZE; i++)
      if ((uint8_t)world.array[i] != (uint8_t)(bytes[i] + transforms)) fail_msg("byte %d", (int)i);
  }
  lsi_plan_free(plan);
  lsi_spec_clear(&spec);
}

static void found(enum lsi_tried what, bool pinned, uint32_t verdict) {
  const struct lsi_verdict *v = &world.found.tune[what];
  assert_true(v->tried && v->decided);
  assert_int_equal(v->pinned, pinned);
  assert_int_equal(v->verdict, verdict);
}

static void not_tried(enum lsi_tried what) { assert_false(world.found.tune[what].tried); }

/* ---- lending ---- */

static void files_are_lent_as_pinned(void **state) {
  (void)state;
  world.mapped = true;
  run((struct lsi_tune){.lend = LSI_ALWAYS}, true, LSI_DIRECT_AUTO, 0);
  assert_true(world.lent && !world.copied);
  found(LSI_TRIED_LEND, true, 1);
  run((struct lsi_tune){.lend = LSI_NEVER}, true, LSI_DIRECT_AUTO, 0);
  assert_true(!world.lent && world.copied);
  found(LSI_TRIED_LEND, true, 0);
  not_tried(LSI_TRIED_STORES);
  not_tried(LSI_TRIED_STRAIGHT);
}

static void both_are_tried_where_nothing_is_pinned(void **state) {
  (void)state;
  world.mapped = true;
  run((struct lsi_tune){.stores = LSI_NEVER, .straight = LSI_NEVER}, true, LSI_DIRECT_AUTO, 0);
  assert_true(world.lent && world.copied);
  const struct lsi_verdict *v = &world.found.tune[LSI_TRIED_LEND];
  assert_true(v->tried && v->decided && !v->pinned);
  assert_int_equal(v->comparisons, 1);
  assert_true(v->took[0] > 0 && v->took[1] > 0);
  assert_int_equal(v->verdict, v->took[1] < 0.92 * v->took[0]);
  /* What came of it was used for the rest, two thirds of all. */
  assert_true(v->verdict ? world.lent > world.copied : world.copied > world.lent);
  found(LSI_TRIED_STORES, true, 0);
  found(LSI_TRIED_STRAIGHT, true, 0);
}

static void what_leaves_no_choice_overrides_a_pin(void **state) {
  (void)state;
  world.mapped = true;
  world.caps = LSI_CAP_MAPS;
  run((struct lsi_tune){.lend = LSI_NEVER}, true, LSI_DIRECT_AUTO, 0);
  assert_true(world.lent && !world.copied);
  not_tried(LSI_TRIED_LEND);
  /* The read is the only copy. */
  world.array = malloc(SIZE);
  run((struct lsi_tune){.lend = LSI_ALWAYS}, false, LSI_DIRECT_AUTO, 0);
  assert_true(!world.lent && world.straight);
  not_tried(LSI_TRIED_LEND);
}

/* ---- stores ---- */

static void results_are_stored_as_pinned(void **state) {
  (void)state;
  world.array = malloc(SIZE);
  run((struct lsi_tune){.stores = LSI_ALWAYS}, true, LSI_DIRECT_AUTO, 0);
  assert_int_equal(world.nontemporal, STEPS);
  found(LSI_TRIED_STORES, true, 1);
  run((struct lsi_tune){.stores = LSI_NEVER}, true, LSI_DIRECT_AUTO, 0);
  assert_int_equal(world.plain, STEPS);
  found(LSI_TRIED_STORES, true, 0);
  not_tried(LSI_TRIED_LEND);
  run((struct lsi_tune){LSI_AUTO}, true, LSI_DIRECT_AUTO, 0);
  assert_true(world.nontemporal && world.plain);
  const struct lsi_verdict *v = &world.found.tune[LSI_TRIED_STORES];
  assert_true(v->tried && v->decided && !v->pinned && v->took[0] > 0 && v->took[1] > 0);
  assert_int_equal(v->comparisons, 1);
  assert_int_equal(v->verdict, v->took[1] < 1.05 * v->took[0]);
}

/* 60 MiB of results compare stores, 18 MiB of reads lending: one after the other, so in 64 MiB only the first
 * comes to an end. */
static void one_comparison_at_a_time(void **state) {
  (void)state;
  world.array = malloc(SIZE);
  world.mapped = true;
  run((struct lsi_tune){LSI_AUTO}, true, LSI_DIRECT_AUTO, 0);
  assert_int_equal(world.found.tune[LSI_TRIED_STORES].comparisons, 1);
  assert_int_equal(world.found.tune[LSI_TRIED_LEND].comparisons, 0);
  /* Where there is nothing to compare of stores, it ends. */
  run((struct lsi_tune){.stores = LSI_NEVER}, true, LSI_DIRECT_AUTO, 0);
  assert_int_equal(world.found.tune[LSI_TRIED_LEND].comparisons, 1);
}

/* ---- straight ---- */

static void bytes_are_read_straight_as_pinned(void **state) {
  (void)state;
  world.array = aligned_alloc(LSI_ALIGN, SIZE);
  world.direct = true;
  for (int always = 0; always < 2; always++) { /* --direct=always means it, but for a pin */
    const enum lsi_direct direct = always ? LSI_DIRECT_ALWAYS : LSI_DIRECT_AUTO;
    run((struct lsi_tune){.straight = LSI_ALWAYS}, false, direct, 0);
    assert_true(world.straight && !world.copied);
    found(LSI_TRIED_STRAIGHT, true, 1);
    run((struct lsi_tune){.straight = LSI_NEVER}, false, direct, 0);
    assert_true(!world.straight && world.copied);
    found(LSI_TRIED_STRAIGHT, true, 0);
    run((struct lsi_tune){LSI_AUTO}, false, direct, 0);
    if (always) {
      assert_true(world.straight && !world.copied);
      not_tried(LSI_TRIED_STRAIGHT);
    } else {
      assert_true(world.copied && world.found.tune[LSI_TRIED_STRAIGHT].tried);
    }
  }
}

/* ---- how much is in flight ---- */

static void a_given_depth_is_told_as_pinned(void **state) {
  (void)state;
  run((struct lsi_tune){LSI_AUTO}, true, LSI_DIRECT_AUTO, 7);
  found(LSI_TRIED_DEPTH, true, 7);
  assert_true(isnan(world.found.tune[LSI_TRIED_DEPTH].took[0]));
}

static int fresh(void **state) {
  (void)state;
  memset(&world, 0, sizeof world);
  return 0;
}

static int end(void **state) {
  (void)state;
  free(world.array);
  return 0;
}

static int make_bytes(void **state) {
  (void)state;
  bytes = malloc(SIZE);
  for (uint64_t i = 0; bytes && i < SIZE; i++) bytes[i] = (uint8_t)(i % 251 + (i >> 17));
  return bytes ? 0 : -1;
}

static int free_bytes(void **state) {
  (void)state;
  free(bytes);
  return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fresh, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(files_are_lent_as_pinned),
      TEST(both_are_tried_where_nothing_is_pinned),
      TEST(what_leaves_no_choice_overrides_a_pin),
      TEST(results_are_stored_as_pinned),
      TEST(one_comparison_at_a_time),
      TEST(bytes_are_read_straight_as_pinned),
      TEST(a_given_depth_is_told_as_pinned),
  };
  return cmocka_run_group_tests(tests, make_bytes, free_bytes);
}
