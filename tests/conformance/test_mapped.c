/* Backends that map files: which ones, and what they tell of what happens under a mapping. */
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend_variants.h"
#include "seams/os.h"

static struct stage stage;

static int set_up(void **state) {
  int rc = stage_open(&stage, *state);
  *state = &stage;
  return rc == 1;
}

static int tear_down(void **state) {
  stage_close(*state);
  return 0;
}

static bool local_disk(const char *dir) {
  struct statfs fs;
  return statfs(dir, &fs) == 0 && (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
                                   fs.f_type == BTRFS_SUPER_MAGIC || fs.f_type == F2FS_SUPER_MAGIC);
}

static void open_file(struct stage *s, int i, struct lsi_handle *h) {
  memset(h, 0, sizeof *h);
  assert_int_equal(s->ops->open(s->b, STAGE_ORDER(s, s->names[i]), h, &s->err), 0);
}

static struct lsi_op *lend(struct stage *s, struct lsi_handle *h, uint64_t offset, uint32_t length) {
  static struct lsi_op op;
  struct lsi_op *p = &op, *done[1];
  op = (struct lsi_op){.handle = h, .offset = offset, .length = length, .kind = LSI_OP_READ};
  assert_int_equal(s->ops->submit(s->b, &p, 1), 1);
  assert_int_equal(s->ops->reap(s->b, done, 1, -1, &s->err), 1);
  assert_ptr_equal(done[0], p);
  return p;
}

static struct stage *ready(void **state) {
  struct stage *s = *state;
  if (!s->b || (!local_disk(s->dir) && !(s->ops->caps & LSI_CAP_MAPS))) skip();
  stage_guard();
  return s;
}

static void maps_what_it_should(void **state) {
  struct stage *s = ready(state);
  const bool all = s->ops->caps & LSI_CAP_MAPS;
  for (int i = 0; i < OBJECTS; i++) {
    struct lsi_handle h;
    struct lsi_object_info now;
    open_file(s, i, &h);
    assert_int_equal(h.mapped, all ? i != EMPTY : i == BIG);
    assert_int_equal(h.lends, h.mapped);
    assert_int_equal(s->ops->close(s->b, &h, &now), 0);
  }
}

static void maps_nothing_without_the_handler(void **state) {
  struct stage *s = ready(state);
  struct lsi_handle h;
  struct lsi_object_info now;
  signal(SIGBUS, SIG_DFL);
  open_file(s, BIG, &h);
  assert_false(h.mapped || h.lends);
  assert_int_equal(s->ops->close(s->b, &h, &now), 0);
}

static void maps_nothing_in_a_limited_address_space(void **state) {
  struct stage *s = ready(state);
  struct lsi_handle h;
  struct lsi_object_info now;
  struct rlimit before, less;
  assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
  less = (struct rlimit){(rlim_t)1 << 46, before.rlim_max};
  assert_int_equal(setrlimit(RLIMIT_AS, &less), 0);
  open_file(s, BIG, &h);
  assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
  assert_false(h.mapped || h.lends);
  assert_int_equal(s->ops->close(s->b, &h, &now), 0);
}

/* More than is forgotten behind at once, in any order. */
static void bytes_stay_right_behind(void **state) {
  struct stage *s = ready(state);
  struct lsi_handle h;
  struct lsi_object_info now;
  open_file(s, BIG, &h);
  for (int i = 0; i < 200; i++) {
    uint64_t at = stage_random(s, object_sizes[BIG]);
    struct lsi_op *op = lend(s, &h, at, 1 + (uint32_t)stage_random(s, 500000));
    assert_int_equal(op->result, LSI_MIN((uint64_t)op->length, object_sizes[BIG] - at));
    assert_true(op->uncopied);
    assert_memory_equal(op->data, s->data[BIG] + at, (size_t)op->result);
    s->ops->release(s->b, op);
  }
  assert_int_equal(s->ops->close(s->b, &h, &now), 0);
}

static void look_tells_a_truncation(void **state) {
  struct stage *s = ready(state);
  struct lsi_handle h;
  struct lsi_object_info now;
  open_file(s, BIG, &h);
  struct lsi_op *op = lend(s, &h, 1000000, 500000);
  assert_int_equal(s->ops->look(s->b, &h, &now), 0);
  assert_memory_equal(&now, &h.info, sizeof now);
  assert_int_equal(truncate(s->names[BIG], 1200000), 0);
  assert_int_equal(s->ops->look(s->b, &h, &now), 0); /* nobody has read what is lost */
  assert_int_equal(now.size, 1200000);
  assert_memory_equal(op->data, s->data[BIG] + op->offset, 200000);
  const unsigned char *bytes = op->data;
  for (size_t i = 200000; i < 500000; i++) assert_int_equal(bytes[i], 0);
  assert_int_equal(s->ops->look(s->b, &h, &now), LSIO_ERR_IO);
  assert_int_equal(now.size, 1200000);
  s->ops->release(s->b, op);
  assert_int_equal(s->ops->close(s->b, &h, &now), LSIO_ERR_IO);
  assert_int_equal(now.size, 1200000);
}

static void look_tells_a_replacement(void **state) {
  struct stage *s = ready(state);
  struct lsi_handle h;
  struct lsi_object_info now;
  open_file(s, BIG, &h);
  struct lsi_op *op = lend(s, &h, 0, 1000);
  assert_int_equal(rename(s->names[1], s->names[BIG]), 0);
  assert_memory_equal(op->data, s->data[BIG], 1000);
  assert_int_equal(s->ops->look(s->b, &h, &now), 0);
  assert_int_equal(s->store->changed(&h.info, &now, NULL), LSIO_ERR_SOURCE);
  s->ops->release(s->b, op);
  assert_int_equal(s->ops->close(s->b, &h, &now), 0);
}

static const struct {
  const char *name;
  void (*fn)(void **state);
} tests[] = {
#define T(fn) {#fn, fn}
    T(maps_what_it_should),
    T(maps_nothing_without_the_handler),
    T(maps_nothing_in_a_limited_address_space),
    T(bytes_stay_right_behind),
    T(look_tells_a_truncation),
    T(look_tells_a_replacement),
#undef T
};

int main(void) {
  static struct CMUnitTest all[LSI_COUNTOF(tests) * 8];
  static char names[LSI_COUNTOF(all)][96];
  size_t n = 0;
  for (unsigned v = 0; v < n_variants; v++)
    for (size_t t = 0; variants[v].maps && t < LSI_COUNTOF(tests); t++, n++) {
      snprintf(names[n], sizeof names[n], "%s: %s", variants[v].label, tests[t].name);
      all[n] = (struct CMUnitTest){names[n], tests[t].fn, set_up, tear_down, (void *)&variants[v]};
    }
  return _cmocka_run_group_tests("mapped", all, n, NULL, NULL);
}
