/* A backend that lends, and an extent that takes more than one operation: the bytes of each must be
 * found again at their own place, and each must be given back once. Only operations of 4096 bytes
 * succeed, so that an extent of more than a gigabyte costs no memory. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/state/engine.h"
#include "ground/mem.h"
#include "run_take.h"
#include "seams/os.h"
#include "step_transform.h"

#define BLOCK 4096u
#define SIZE ((uint64_t)LSI_OP_LONGEST + BLOCK)

struct lsi_backend {
  struct lsi_op *done[64];
  int n;
};

static atomic_int lent, released;

static const struct lsi_object_info info = {.size = SIZE, .version = {1}, .device = 1,
                                            .known = LSI_KNOWN_SIZE | LSI_KNOWN_VERSION};

static uint8_t byte_at(uint64_t offset) { return (uint8_t)(offset % 251); }

static int lend_probe(struct lsi_error *err) {
  (void)err;
  return 0;
}

static int lend_stat(const void *user, const char *const *names, size_t n, struct lsi_object_info *infos,
                     struct lsi_watch *watch, bool faults, struct lsi_error *err) {
  (void)user, (void)names, (void)watch, (void)faults, (void)err;
  while (n) infos[--n] = info;
  return 0;
}

static const struct lsi_store store = {.stat_many = lend_stat, .changed = lsi_object_changed};
static const struct lsi_store *const stores[] = {&store, NULL};

static int lend_create(const struct lsi_backend_config *config, struct lsi_backend **out,
                       struct lsi_error *err) {
  (void)config;
  (void)err;
  *out = lsi_calloc(1, sizeof **out);
  return *out ? 0 : LSIO_ERR_NOMEM;
}

static void lend_destroy(struct lsi_backend *b) { lsi_free(b); }

static int lend_open(struct lsi_backend *b, const struct lsi_open *order, struct lsi_handle *h,
                     struct lsi_error *err) {
  (void)b;
  (void)order;
  (void)err;
  h->info = info;
  h->lends = true;
  return 0;
}

static int lend_close(struct lsi_backend *b, struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  (void)h;
  *now = info;
  return 0;
}

static int lend_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now) {
  (void)b;
  *now = h->info;
  return 0;
}

static int lend_submit(struct lsi_backend *b, struct lsi_op *const *ops, int n) {
  int taken = 0;
  for (; taken < n && b->n < 64; taken++) {
    struct lsi_op *op = ops[taken];
    b->done[b->n++] = op;
    if (op->length > BLOCK) {
      op->result = LSIO_ERR_IO;
      op->os_code = EIO;
      continue;
    }
    uint8_t *data = lsi_malloc(BLOCK);
    if (!data) abort();
    op->result = op->length;
    for (int64_t i = 0; i < op->result; i++) data[i] = byte_at(op->offset + (uint64_t)i);
    op->data = data;
    atomic_fetch_add(&lent, 1);
  }
  return taken;
}

static int lend_reap(struct lsi_backend *b, struct lsi_op **done, int max, int64_t timeout_ns,
                     struct lsi_error *err) {
  (void)timeout_ns;
  (void)err;
  int n = 0;
  while (n < max && b->n) done[n++] = b->done[--b->n]; /* the last one first */
  return n;
}

static void lend_release(struct lsi_backend *b, struct lsi_op *op) {
  (void)b;
  lsi_free((void *)(uintptr_t)op->data);
  atomic_fetch_add(&released, 1);
}

static const struct lsi_backend_ops lending = {
    .version = LSI_BACKEND_VERSION, .name = "lend",
    .probe = lend_probe,            .create = lend_create,
    .destroy = lend_destroy,        .open = lend_open,   .close = lend_close,
    .submit = lend_submit,          .reap = lend_reap,   .release = lend_release,
    .look = lend_look,
};

/* ---- the job ---- */

static uint32_t right, wrong;

static int t_step(void *state, struct lsi_step *s, struct lsi_error *err) {
  (void)state;
  (void)err;
  const uint8_t *data = s->chunk[0].data;
  bool same = s->chunk[0].bytes == BLOCK;
  for (uint64_t i = 0; same && i < BLOCK; i++)
    same = data[i] == byte_at((uint64_t)s->chunk[0].offset + i);
  *(same ? &right : &wrong) += 1;
  return 0;
}

static const struct lsi_transform_ops transform = STEP_TRANSFORM(t_step);

/* Runs the request that stands in *spec; the number of steps that failed. */
static int run(struct lsi_spec *spec) {
  struct lsi_error e;
  lsi_error_clear(&e);
  struct lsi_device_model model;
  lsi_device_preset((enum lsi_device_kind)0, &model);
  struct lsi_plan_options options = {.merge = LSI_MERGE_AUTO, .n_devices = 1, .devices = &model};
  struct lsi_plan *plan;
  assert_int_equal(lsi_plan_build(spec->request, &options, &plan, &e), 0);
  assert_int_equal(plan->n_units, 1);
  spec->type = (struct lsi_dtype){LSI_U8, false};
  spec->on_error = LSI_ON_ERROR_SKIP;
  spec->transform = &transform;
  struct lsi_run_config config = {.spec = spec,
                                  .plan = plan,
                                  .stores = stores,
                                  .backend = &lending,
                                  .sink_type = spec->type,
                                  .workers = 1,
                                  .share = 4 * SIZE};
  struct lsi_run *r;
  assert_int_equal(lsi_run_start(&config, &r, &e), 0);
  while (!lsi_run_ended(r)) {
    struct lsi_run_completion *c = run_take(r, 100000000);
    while (c) {
      struct lsi_run_completion *next = c->next;
      lsi_run_free_completion(c);
      c = next;
    }
  }
  assert_int_equal(lsi_run_join(r, &e), 0);
  struct lsi_summary s;
  memset(&s, 0xa5, sizeof s); /* what stands in it does not count */
  lsi_run_summary(r, &s);
  const int failed = (int)s.steps_failed;
  assert_int_equal(s.steps + s.steps_failed, spec->request->n_steps);
  assert_int_equal(s.bytes_read, (uint64_t)atomic_load(&lent) * BLOCK);
  lsi_run_destroy(r);
  lsi_plan_free(plan);
  return failed;
}

static void add(struct lsi_spec *spec, uint64_t offset, uint64_t length) {
  assert_int_equal(
      lsi_request_add_chunk(spec->request, 0, (int64_t)offset, (int64_t)length, 0, NULL), 0);
}

static void begin(struct lsi_spec *spec) {
  atomic_store(&lent, 0);
  atomic_store(&released, 0);
  right = wrong = 0;
  lsi_spec_init(spec);
  spec->request = lsi_request_create();
  assert_non_null(spec->request);
  assert_int_equal(lsi_request_add_object(spec->request, "object", &info, NULL, NULL), 0);
}

static void an_extent_of_several_operations(void **state) {
  (void)state;
  const int64_t live = lsi_mem_live();
  struct lsi_spec spec;
  begin(&spec);
  add(&spec, 0, SIZE);
  add(&spec, 0, BLOCK);
  add(&spec, LSI_OP_LONGEST, BLOCK);
  assert_int_equal(run(&spec), 2); /* whose first gigabyte can't be read */
  assert_int_equal(right, 1);
  assert_int_equal(wrong, 0);
  assert_int_equal(atomic_load(&released), 1);
  lsi_spec_clear(&spec);
  assert_int_equal(lsi_mem_live(), live);
}

static void one_operation_is_lent_until_the_step_has_run(void **state) {
  (void)state;
  const int64_t live = lsi_mem_live();
  struct lsi_spec spec;
  begin(&spec);
  add(&spec, BLOCK, BLOCK);
  assert_int_equal(run(&spec), 0);
  assert_int_equal(right, 1);
  assert_int_equal(atomic_load(&released), 1);
  lsi_spec_clear(&spec);
  assert_int_equal(lsi_mem_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_extent_of_several_operations),
      cmocka_unit_test(one_operation_is_lent_until_the_step_has_run),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
