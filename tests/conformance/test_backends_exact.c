/* Reads into memory that is not the operation's beyond its bytes: what core/seams/backend.h promises of `exact`. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend_variants.h"

static struct stage stage;

static int set_up(void **state) {
  int rc = stage_open(&stage, *state);
  if (rc) fprintf(stderr, "%s: %s\n", stage.v->label, stage.err.what);
  *state = &stage;
  return rc == 1;
}

static int tear_down(void **state) {
  stage_close(*state);
  return 0;
}

/* Into memory that has no hull, at any address: every byte around it belongs to somebody else. */
static void exact_reads_touch_nothing_else(void **state) {
  struct stage *s = *state;
  if (!s->b || s->v->lends) skip();
  struct lsi_handle h = {0};
  assert_int_equal(s->ops->open(s->b, STAGE_ORDER(s, s->names[BIG]), &h, &s->err), 0);
  for (unsigned i = 0; i < 400; i++) {
    const bool aligned = i % 4 == 0;
    struct lsi_op op;
    const uint64_t at = stage_random(s, object_sizes[BIG] + 10);
    const uint32_t length = 1 + (uint32_t)stage_random(s, i % 20 ? 9000 : 150000);
    stage_op(s, &op, &h, 0, aligned ? lsi_round_down(at, LSI_ALIGN) : at,
             aligned ? (uint32_t)lsi_round_up(length, LSI_ALIGN) : length);
    op.buf = (char *)s->arena + LSI_ALIGN + (aligned ? 0 : stage_random(s, LSI_ALIGN));
    op.exact = true;
    struct lsi_op *p = &op, *done[1];
    assert_int_equal(s->ops->submit(s->b, &p, 1), 1);
    assert_int_equal(s->ops->reap(s->b, done, 1, -1, &s->err), 1);
    const uint64_t size = object_sizes[BIG];
    const uint64_t want = op.offset < size ? LSI_MIN(size - op.offset, (uint64_t)op.length) : 0;
    assert_int_equal(op.result, want);
    if (want) assert_memory_equal(op.buf, s->data[BIG] + op.offset, want);
    const unsigned char *begin = op.buf, *end = begin + op.length;
    for (const unsigned char *q = (unsigned char *)s->arena; q < begin; q++) assert_int_equal(*q, GUARD);
    for (const unsigned char *q = end; q < end + LSI_ALIGN; q++) assert_int_equal(*q, GUARD);
    if (aligned && s->v->direct == LSI_DIRECT_ALWAYS) assert_true(op.uncopied);
  }
  struct lsi_object_info now;
  assert_int_equal(s->ops->close(s->b, &h, &now), 0);
}

int main(void) {
  struct CMUnitTest tests[32];
  assert_true(n_variants <= LSI_COUNTOF(tests));
  for (unsigned i = 0; i < n_variants; i++)
    tests[i] = (struct CMUnitTest){variants[i].label, exact_reads_touch_nothing_else, set_up, tear_down,
                                   (void *)&variants[i]};
  return _cmocka_run_group_tests("exact", tests, n_variants, NULL, NULL);
}
