#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "plan/request.h"

static struct lsi_request *with_objects(const uint64_t *sizes, uint32_t n) {
  static const char *const names[] = {"a.f32", "dir/b.f32", "c"};
  struct lsi_request *r = lsi_request_create();
  for (uint32_t i = 0; i < n; i++) {
    const struct lsi_object_info info = {.size = sizes[i], .version = {i + 7}, .known = LSI_KNOWN_SIZE};
    uint32_t index = 99;
    assert_int_equal(lsi_request_add_object(r, names[i], &info, &index, NULL), 0);
    assert_int_equal(index, i);
  }
  return r;
}

static void objects_keep_names_and_infos(void **unused) {
  (void)unused;
  const uint64_t sizes[] = {100, 0, 5};
  struct lsi_request *r = with_objects(sizes, 3);
  assert_string_equal(lsi_request_name(r, 0), "a.f32");
  assert_string_equal(lsi_request_name(r, 1), "dir/b.f32");
  assert_string_equal(lsi_request_name(r, 2), "c");
  assert_int_equal(r->objects[2].size, 5);
  assert_int_equal(r->objects[1].version[0], 8);
  struct lsi_error err = {0};
  const struct lsi_object_info huge = {.size = UINT64_MAX};
  assert_int_equal(lsi_request_add_object(r, "huge", &huge, NULL, &err), LSIO_ERR_SOURCE);
  assert_string_equal(err.object, "huge");
  assert_int_equal(r->n_objects, 3);
  lsi_request_free(r);
}

static struct lsi_names some_names(void) {
  static const char *const text[] = {"x/1", "x/22", "y"};
  struct lsi_names names = {0};
  for (size_t i = 0; i < 3; i++) assert_true(lsi_names_add(&names, 'r', text[i], strlen(text[i])));
  return names;
}

static void names_are_taken_over_or_copied(void **unused) {
  (void)unused;
  struct lsi_request *r = lsi_request_create();
  struct lsi_names names = some_names();
  const char *text = names.text;
  uint32_t first = 9;
  for (uint64_t nth = 1; nth <= 2; nth++) {
    lsi_mem_fail_nth(nth, false);
    struct lsi_error err = {0};
    assert_int_equal(lsi_request_take_names(r, &names, &first, &err), LSIO_ERR_NOMEM);
    assert_int_equal(names.n, 3); /* they are still the caller's */
    assert_int_equal(r->n_objects, 0);
  }
  assert_int_equal(lsi_request_take_names(r, &names, &first, NULL), 0);
  assert_int_equal(first, 0);
  assert_ptr_equal(r->names.text, text);
  assert_null(names.text);
  assert_int_equal(names.n, 0);
  /* Behind others they are copied; and what is added later stands behind them. */
  names = some_names();
  const struct lsi_object_info info = {.size = 5, .version = {3}, .known = LSI_KNOWN_SIZE};
  assert_int_equal(lsi_request_add_object(r, "between", &info, NULL, NULL), 0);
  assert_int_equal(lsi_request_take_names(r, &names, &first, NULL), 0);
  assert_int_equal(first, 4);
  assert_int_equal(names.n, 3);
  lsi_names_free(&names);
  static const char *const want[] = {"x/1", "x/22", "y", "between", "x/1", "x/22", "y"};
  assert_int_equal(r->n_objects, LSI_COUNTOF(want));
  for (uint32_t i = 0; i < r->n_objects; i++) assert_string_equal(lsi_request_name(r, i), want[i]);
  assert_false(r->late);
  const struct lsi_object_info beside = {.size = 5, .version = {3}, .device = 77, .store = 2, .known = 3};
  lsi_request_set_late(r, 5, &beside);
  assert_true(r->late);
  assert_int_equal(r->objects[5].device, 77);
  assert_int_equal(r->objects[5].store, 2);
  assert_int_equal(r->objects[5].size, LSI_LATE_BYTES);
  assert_int_equal(r->objects[5].known, 0);
  assert_int_equal(lsi_request_cut(r, 5, 0, UINT64_MAX, 0, NULL), 0);
  assert_int_equal(lsi_request_bytes(r), 0); /* not known yet */
  lsi_request_free(r);
}

static void chunks_are_checked_and_made_absolute(void **unused) {
  (void)unused;
  const uint64_t sizes[] = {100, 0};
  struct lsi_request *r = with_objects(sizes, 2);
  assert_int_equal(lsi_request_add_chunk(r, 0, 10, 20, 0, NULL), 0);
  assert_int_equal(lsi_request_add_chunk(r, 0, -10, 10, 0, NULL), 0);
  assert_int_equal(lsi_request_add_chunk(r, 0, 100, 0, 0, NULL), 0);
  assert_int_equal(lsi_request_add_chunk(r, 1, 0, 0, 0, NULL), 0);
  assert_int_equal(r->n_chunks, 4);
  assert_int_equal(r->n_steps, 4);
  assert_null(r->step_first);
  assert_null(r->tag);
  assert_int_equal(r->offset[1], 90);
  assert_int_equal(lsi_request_bytes(r), 30);

  static const struct {
    uint32_t object;
    int64_t offset, length;
  } bad[] = {{0, 0, 101},         {0, 100, 1},         {0, 101, 0},         {0, -101, 1},
             {0, -10, 11},        {0, 5, -2},          {1, 0, 1},           {2, 0, 0},
             {0, INT64_MAX, 1},   {0, INT64_MIN, 1},   {0, 50, INT64_MAX},  {0, -1, INT64_MAX},
             {0, 101, -1},        {0, -101, -1},       {1, 1, -1},          {1, -1, -1},
             {0, INT64_MAX, -1},  {0, INT64_MIN, -1},  {2, 0, -1},          {0, 0, INT64_MIN},
             {0, INT64_MIN, INT64_MIN}};
  for (size_t i = 0; i < LSI_COUNTOF(bad); i++) {
    struct lsi_error err = {0};
    assert_int_equal(
        lsi_request_add_chunk(r, bad[i].object, bad[i].offset, bad[i].length, 0, &err),
        LSIO_ERR_USAGE);
    assert_int_equal(err.step, 4);
    assert_string_equal(err.object, bad[i].object == 0 ? "a.f32"
                                    : bad[i].object == 1 ? "dir/b.f32"
                                                         : "");
    assert_int_equal(r->n_chunks, 4);
    assert_int_equal(r->n_steps, 4);
  }
  lsi_request_free(r);
}

static void to_the_end(void **unused) {
  (void)unused;
  const uint64_t sizes[] = {100, INT64_MAX};
  struct lsi_request *r = with_objects(sizes, 2);
  static const uint32_t object[] = {0, 0, 0, 0, 1, 1, 1};
  static const int64_t offset[] = {0, 99, 100, -100, 0, INT64_MAX, -1}, length[] = {-1, -1, -1, -1, -1, -1, -1};
  static const uint64_t begin[] = {0, 99, 100, 0, 0, INT64_MAX, INT64_MAX - 1},
                        bytes[] = {100, 1, 0, 100, INT64_MAX, 0, 1};
  assert_int_equal(lsi_request_add_chunks(r, 7, object, offset, length, NULL, NULL), 0);
  assert_int_equal(lsi_request_add_step(r, 2, object, offset, length, NULL, NULL), 0);
  assert_int_equal(r->n_chunks, 9);
  for (uint32_t i = 0; i < r->n_chunks; i++) {
    assert_int_equal(r->offset[i], begin[i % 7]);
    assert_int_equal(r->length[i], bytes[i % 7]);
  }
  struct lsi_error err = {0};
  assert_int_equal(lsi_request_add_chunk(r, 0, 101, -1, 0, &err), LSIO_ERR_USAGE);
  assert_string_equal(err.what, "the offset 101 lies behind the end of its object of 100 bytes");
  lsi_error_clear(&err);
  assert_int_equal(lsi_request_add_chunk(r, 0, 1, -2, 0, &err), LSIO_ERR_USAGE);
  assert_non_null(strstr(err.what, "length -2"));
  assert_non_null(strstr(err.remedy, "-1: to the object's end"));
  lsi_request_free(r);
}

static void a_bad_chunk_of_many_adds_none(void **unused) {
  (void)unused;
  const uint64_t sizes[] = {100};
  struct lsi_request *r = with_objects(sizes, 1);
  const uint32_t object[3] = {0, 0, 0};
  const int64_t offset[3] = {0, 10, 99}, length[3] = {10, 10, 2}, tag[3] = {1, 2, 3};
  struct lsi_error err = {0};
  assert_int_equal(lsi_request_add_chunks(r, 3, object, offset, length, tag, &err), LSIO_ERR_USAGE);
  assert_int_equal(err.step, 2);
  assert_int_equal(r->n_chunks, 0);
  assert_int_equal(lsi_request_add_step(r, 3, object, offset, length, tag, &err), LSIO_ERR_USAGE);
  assert_int_equal(r->n_steps, 0);
  assert_int_equal(lsi_request_add_step(r, 0, NULL, NULL, NULL, NULL, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_add_chunks(r, 2, object, offset, length, tag, NULL), 0);
  assert_int_equal(r->tag[1], 2);
  lsi_request_free(r);
}

static void tags_begin_late_and_stay(void **unused) {
  (void)unused;
  const uint64_t sizes[] = {100};
  struct lsi_request *r = with_objects(sizes, 1);
  for (int i = 0; i < 50; i++) assert_int_equal(lsi_request_add_chunk(r, 0, i, 1, 0, NULL), 0);
  assert_null(r->tag);
  assert_int_equal(lsi_request_add_chunk(r, 0, 50, 1, -7, NULL), 0);
  assert_int_equal(lsi_request_cut(r, 0, 0, UINT64_MAX, 10, NULL), 0);
  assert_int_equal(lsi_request_add_chunk(r, 0, 51, 1, 9, NULL), 0);
  assert_int_equal(r->n_chunks, 62);
  for (uint32_t i = 0; i < r->n_chunks; i++)
    assert_int_equal(r->tag[i], i == 50 ? -7 : i == 61 ? 9 : 0);
  lsi_request_free(r);
}

static void cutting(void **unused) {
  (void)unused;
  static const struct {
    uint64_t offset, length, chunk;
    uint32_t n;
    uint64_t last;
  } cases[] = {{0, UINT64_MAX, 0, 1, 100},  {0, UINT64_MAX, 30, 4, 10}, {0, UINT64_MAX, 25, 4, 25},
               {0, UINT64_MAX, 101, 1, 100}, {90, UINT64_MAX, 4, 3, 2},  {10, 20, 7, 3, 6},
               {100, UINT64_MAX, 8, 1, 0},   {50, 0, 8, 1, 0},           {0, 100, UINT64_MAX, 1, 100},
               {0, UINT64_MAX, 1, 100, 1}};
  const uint64_t sizes[] = {100};
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++) {
    struct lsi_request *r = with_objects(sizes, 1);
    assert_int_equal(
        lsi_request_cut(r, 0, cases[i].offset, cases[i].length, cases[i].chunk, NULL), 0);
    assert_int_equal(r->n_chunks, cases[i].n);
    assert_int_equal(r->n_steps, cases[i].n);
    assert_int_equal(r->offset[0], cases[i].offset);
    for (uint32_t k = 1; k < r->n_chunks; k++)
      assert_int_equal(r->offset[k], r->offset[k - 1] + r->length[k - 1]);
    assert_int_equal(r->length[r->n_chunks - 1], cases[i].last);
    lsi_request_free(r);
  }
  const uint64_t huge[] = {INT64_MAX};
  struct lsi_request *r = with_objects(huge, 1);
  assert_int_equal(lsi_request_cut(r, 0, 0, UINT64_MAX, 1, NULL), LSIO_ERR_LIMIT);
  assert_int_equal(lsi_request_cut(r, 0, INT64_MAX, 1, 1, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_cut(r, 0, 1, INT64_MAX, 1, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_cut(r, 0, INT64_MIN, UINT64_MAX, 1, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_cut(r, 0, -1, 2, 1, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_cut(r, 1, 0, UINT64_MAX, 1, NULL), LSIO_ERR_USAGE);
  assert_int_equal(r->n_chunks, 0);
  for (int i = 0; i < 3; i++) assert_int_equal(lsi_request_cut(r, 0, 0, UINT64_MAX, 0, NULL), 0);
  assert_true(lsi_request_bytes(r) == UINT64_MAX); /* saturates */
  lsi_request_free(r);
}

static void cuts_from_the_end(void **unused) {
  (void)unused;
  const uint64_t sizes[] = {100, 0};
  struct lsi_request *r = with_objects(sizes, 2);
  assert_int_equal(lsi_request_cut(r, 0, -100, UINT64_MAX, 0, NULL), 0);
  assert_int_equal(lsi_request_cut(r, 0, -30, UINT64_MAX, 20, NULL), 0);
  assert_int_equal(lsi_request_cut(r, 0, -30, 5, 0, NULL), 0);
  static const uint64_t want[][2] = {{0, 100}, {70, 20}, {90, 10}, {70, 5}};
  assert_int_equal(r->n_chunks, LSI_COUNTOF(want));
  for (uint32_t i = 0; i < r->n_chunks; i++) {
    assert_int_equal(r->offset[i], want[i][0]);
    assert_int_equal(r->length[i], want[i][1]);
  }
  static const struct {
    uint32_t object;
    int64_t offset;
    uint64_t length;
    const char *says;
  } bad[] = {{0, -101, UINT64_MAX, "the offset -101 lies before the beginning of its object of 100 bytes"},
             {1, -1, UINT64_MAX, "the offset -1 lies before the beginning of its object of 0 bytes"},
             {0, 101, UINT64_MAX, "the offset 101 lies behind the end"},
             {0, INT64_MIN, UINT64_MAX, "lies before the beginning"},
             {0, -10, 11, "offset -10 and length 11 does not lie within"},
             {0, -1, UINT64_MAX - 1, "does not lie within"}};
  for (size_t i = 0; i < LSI_COUNTOF(bad); i++) {
    struct lsi_error err = {0};
    assert_int_equal(lsi_request_cut(r, bad[i].object, bad[i].offset, bad[i].length, 1, &err), LSIO_ERR_USAGE);
    if (!strstr(err.what, bad[i].says)) fail_msg("case %zu: %s", i, err.what);
    assert_string_equal(err.object, bad[i].object ? "dir/b.f32" : "a.f32");
  }
  lsi_request_free(r);
}

/* ---- faults ---- */

static void expect_chunk(const struct lsi_request *r, uint32_t c, uint64_t offset, uint64_t length, int kind) {
  const struct lsi_fault *f = lsi_fault_find(r, c);
  assert_int_equal(r->offset[c], offset);
  assert_int_equal(r->length[c], length);
  assert_int_equal(f ? f->kind : -1, kind);
}

/* The second of three is not there. */
static struct lsi_request *with_a_fault(void) {
  const uint64_t sizes[] = {100, 0, 50};
  struct lsi_request *r = with_objects(sizes, 3);
  r->objects[1] = (struct lsi_object_info){.version = {2, LSIO_KIND_NOT_FOUND}, .known = LSI_KNOWN_FAULT};
  r->keeps = LSI_KEEP_ALL;
  return r;
}

static void what_can_not_be_had_keeps_its_place(void **unused) {
  (void)unused;
  struct lsi_request *r = with_a_fault();
  static const uint32_t object[] = {0, 1, 0, 1, 2, 0};
  static const int64_t offset[] = {0, 5, 90, -5, 10, -101}, length[] = {100, 7, 11, -1, 40, 5};
  assert_int_equal(lsi_request_add_chunks(r, 6, object, offset, length, NULL, NULL), 0);
  assert_int_equal(r->faults.n, 4);
  expect_chunk(r, 0, 0, 100, -1);
  expect_chunk(r, 1, 5, 7, LSI_FAULT_OBJECT);
  expect_chunk(r, 2, 90, 11, LSI_FAULT_OUTSIDE);
  expect_chunk(r, 3, 0, 0, LSI_FAULT_OBJECT);
  expect_chunk(r, 4, 10, 40, -1);
  expect_chunk(r, 5, 0, 5, LSI_FAULT_OUTSIDE);
  struct lsi_error err = {0};
  assert_int_equal(lsi_fault_error(r, lsi_fault_find(r, 5), &err), LSIO_ERR_SOURCE);
  assert_string_equal(err.what, "the range of offset -101 and length 5 does not lie within its object of 100 bytes");
  assert_int_equal(lsi_fault_error(r, lsi_fault_find(r, 1), &err), 0); /* its store says it */
  /* Lengths that are none, and objects that there are none, are mistakes. */
  lsi_error_clear(&err);
  assert_int_equal(lsi_request_add_chunk(r, 1, 0, -2, 0, &err), LSIO_ERR_USAGE);
  lsi_error_clear(&err);
  assert_int_equal(lsi_request_add_chunk(r, 3, 0, 1, 0, &err), LSIO_ERR_USAGE);
  assert_int_equal(r->faults.n, 4);
  assert_true(lsi_request_select_step(r, 2));
  assert_int_equal(r->faults.n, 1);
  expect_chunk(r, 0, 90, 11, LSI_FAULT_OUTSIDE);
  lsi_request_free(r);
}

static void faults_of_files_that_are_cut(void **unused) {
  (void)unused;
  struct lsi_request *r = with_a_fault();
  assert_int_equal(lsi_request_cut(r, 1, 0, UINT64_MAX, 10, NULL), 0); /* nobody knows how many: one */
  assert_int_equal(lsi_request_cut(r, 1, 3, 25, 10, NULL), 0);
  assert_int_equal(lsi_request_cut(r, 2, 30, 30, 10, NULL), 0); /* it has 20 of them */
  assert_int_equal(lsi_request_cut(r, 2, -30, 40, 10, NULL), 0);
  assert_int_equal(lsi_request_cut(r, 2, -60, 40, 10, NULL), 0); /* before its beginning: one */
  assert_int_equal(lsi_request_cut(r, 2, 51, UINT64_MAX, 10, NULL), 0);
  static const struct {
    uint64_t offset, length;
    int kind;
  } want[] = {{0, 0, LSI_FAULT_OBJECT},   {3, 10, LSI_FAULT_OBJECT},  {13, 10, LSI_FAULT_OBJECT},
              {23, 5, LSI_FAULT_OBJECT},  {30, 10, -1},               {40, 10, -1},
              {50, 10, LSI_FAULT_OUTSIDE}, {20, 10, -1},              {30, 10, -1},
              {40, 10, -1},               {50, 10, LSI_FAULT_OUTSIDE}, {0, 40, LSI_FAULT_OUTSIDE},
              {51, 0, LSI_FAULT_OUTSIDE}};
  assert_int_equal(r->n_chunks, LSI_COUNTOF(want));
  for (uint32_t c = 0; c < r->n_chunks; c++) expect_chunk(r, c, want[c].offset, want[c].length, want[c].kind);
  lsi_request_free(r);
  /* Kept is what is missing, and nothing else. */
  r = with_a_fault();
  r->keeps = LSI_KEEP_MISSING;
  struct lsi_error err = {0};
  assert_int_equal(lsi_request_cut(r, 1, 0, UINT64_MAX, 0, &err), 0);
  assert_int_equal(lsi_request_cut(r, 2, 51, UINT64_MAX, 0, &err), LSIO_ERR_USAGE);
  lsi_request_free(r);
}

/* 20 steps of 1, 2 or 3 chunks; chunk c lies at offset c. */
static struct lsi_request *mixed(void) {
  const uint64_t sizes[] = {100};
  struct lsi_request *r = with_objects(sizes, 1);
  int64_t at = 0;
  for (int s = 0; s < 20; s++) {
    const uint32_t object[3] = {0}, n = 1 + (uint32_t)s % 3;
    const int64_t offset[3] = {at, at + 1, at + 2}, length[3] = {1, 1, 1}, tag[3] = {s, s, s};
    assert_int_equal(lsi_request_add_step(r, n, object, offset, length, tag, NULL), 0);
    at += n;
  }
  return r;
}

static void steps_of_several_chunks(void **unused) {
  (void)unused;
  struct lsi_request *r = mixed();
  assert_int_equal(r->n_steps, 20);
  assert_int_equal(r->n_chunks, 39);
  assert_int_equal(lsi_request_cut(r, 0, 0, 4, 2, NULL), 0);
  assert_int_equal(lsi_request_add_chunk(r, 0, 0, 1, 0, NULL), 0);
  uint32_t c = 0;
  for (uint32_t s = 0; s < r->n_steps; s++) {
    assert_int_equal(lsi_request_chunk_begin(r, s), c);
    c += s < 20 ? 1 + s % 3 : 1;
    assert_int_equal(lsi_request_chunk_end(r, s), c);
  }
  assert_int_equal(c, r->n_chunks);
  lsi_request_free(r);
}

static void shards_cover_every_step_once(void **unused) {
  (void)unused;
  for (uint32_t n = 1; n <= 25; n++) {
    uint32_t next = 0;
    for (uint32_t i = 0; i < n; i++) {
      struct lsi_request *r = mixed();
      assert_int_equal(lsi_request_select(r, i, n, 0, NULL), 0);
      assert_int_equal(r->first_index, next);
      assert_int_equal(r->n_steps, 20 * (i + 1) / n - 20 * i / n);
      for (uint32_t s = 0; s < r->n_steps; s++) {
        assert_int_equal(lsi_request_chunk_end(r, s) - lsi_request_chunk_begin(r, s),
                         1 + (next + s) % 3);
        assert_int_equal(r->tag[lsi_request_chunk_begin(r, s)], next + s);
      }
      next += r->n_steps;
      assert_int_equal(lsi_request_add_chunk(r, 0, 0, 1, 77, NULL), 0); /* still sound */
      assert_int_equal(r->tag[r->n_chunks - 1], 77);
      lsi_request_free(r);
    }
    assert_int_equal(next, 20);
  }
}

static void limits(void **unused) {
  (void)unused;
  struct lsi_request *r = mixed();
  assert_int_equal(lsi_request_select(r, 1, 2, 3, NULL), 0);
  assert_int_equal(r->n_steps, 3);
  assert_int_equal(r->first_index, 10);
  assert_int_equal(r->tag[0], 10);
  assert_int_equal(lsi_request_select(r, 0, 1, 100, NULL), 0);
  assert_int_equal(r->n_steps, 3);
  assert_int_equal(lsi_request_select(r, 2, 2, 0, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_select(r, 0, 0, 0, NULL), LSIO_ERR_USAGE);
  lsi_request_free(r);
}

static void steps_alone(void **unused) {
  (void)unused;
  for (uint32_t s = 0; s < 20; s++) {
    struct lsi_request *r = mixed();
    assert_int_equal(lsi_request_select(r, 1, 3, 0, NULL), 0);
    const bool there = s >= 6 && s < 13;
    assert_int_equal(lsi_request_select_step(r, s), there);
    assert_int_equal(r->n_steps, there ? 1 : 7);
    assert_int_equal(r->first_index, there ? s : 6);
    assert_int_equal(r->n_chunks, there ? 1 + s % 3 : 1 + 2 + 3 + 1 + 2 + 3 + 1);
    assert_int_equal(r->tag[0], there ? s : 6);
    assert_false(lsi_request_select_step(r, UINT64_MAX));
    lsi_request_free(r);
  }
  struct lsi_request *r = mixed();
  int64_t group[20];
  for (int i = 0; i < 20; i++) group[i] = i / 7;
  assert_int_equal(lsi_request_set_groups(r, group, 20, NULL), 0);
  assert_true(lsi_request_select_step(r, 14));
  assert_int_equal(r->n_groups, 1);
  assert_int_equal(r->group_first[0], 0);
  assert_int_equal(r->group_first[1], 1);
  lsi_request_free(r);
}

static void memory_is_small(void **unused) {
  (void)unused;
  const uint64_t sizes[] = {1 << 30};
  struct lsi_request *r = with_objects(sizes, 1);
  assert_int_equal(lsi_request_cut(r, 0, 0, UINT64_MAX, 1024, NULL), 0);
  assert_int_equal(r->n_chunks, 1 << 20);
  assert_in_range(lsi_request_memory(r), 20u << 20, (21u << 20));
  lsi_request_free(r);
}

/* Everything above survives the failure of any one allocation. */
static int build(void) {
  struct lsi_request *r = lsi_request_create();
  if (!r) return LSIO_ERR_NOMEM;
  const struct lsi_object_info info = {.size = 1000};
  const uint32_t object[3] = {0};
  const int64_t offset[3] = {1, 2, 3}, length[3] = {1, 1, 1}, tag[3] = {1, 0, 1};
  int code = lsi_request_reserve(r, 10, NULL);
  for (int i = 0; i < 40 && !code; i++) {
    code = lsi_request_add_object(r, "a name of some length", &info, NULL, NULL);
    if (!code) code = lsi_request_add_chunk(r, 0, i, 1, 0, NULL);
  }
  for (int i = 0; i < 40 && !code; i++)
    code = lsi_request_add_step(r, 3, object, offset, length, tag, NULL);
  if (!code) code = lsi_request_cut(r, 0, 0, UINT64_MAX, 10, NULL);
  if (!code) code = lsi_request_reserve(r, 1000, NULL);
  if (!code) code = lsi_request_select(r, 1, 2, 5, NULL);
  if (!code) assert_int_equal(r->n_steps, 5);
  lsi_request_free(r);
  return code;
}

static void no_allocation_failure_leaks(void **unused) {
  (void)unused;
  const uint64_t before = lsi_mem_calls();
  assert_int_equal(build(), 0);
  const uint64_t calls = lsi_mem_calls() - before;
  assert_in_range(calls, 10, 1000);
  int failed = 0;
  for (uint64_t n = 1; n <= calls; n++) {
    const int64_t live = lsi_mem_live();
    lsi_mem_fail_nth(n, false);
    const int code = build();
    lsi_mem_fail_nth(0, false);
    assert_true(code == 0 || code == LSIO_ERR_NOMEM);
    failed += code != 0;
    assert_int_equal(lsi_mem_live(), live);
  }
  assert_true(failed > 10); /* giving memory back may fail without harm, growing may not */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(objects_keep_names_and_infos),
      cmocka_unit_test(names_are_taken_over_or_copied),
      cmocka_unit_test(chunks_are_checked_and_made_absolute),
      cmocka_unit_test(to_the_end),
      cmocka_unit_test(a_bad_chunk_of_many_adds_none),
      cmocka_unit_test(tags_begin_late_and_stay),
      cmocka_unit_test(cutting),
      cmocka_unit_test(cuts_from_the_end), cmocka_unit_test(what_can_not_be_had_keeps_its_place),
      cmocka_unit_test(faults_of_files_that_are_cut),
      cmocka_unit_test(steps_of_several_chunks),
      cmocka_unit_test(shards_cover_every_step_once),
      cmocka_unit_test(limits),
      cmocka_unit_test(steps_alone),
      cmocka_unit_test(memory_is_small),
      cmocka_unit_test(no_allocation_failure_leaks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
