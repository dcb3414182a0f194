/* Requests for an object whose end nobody knows: the chunks behind those that there are, up to a limit, to the
 * last byte that has a number, and to the last chunk that can be counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "plan/request.h"

#define CHUNK 1000u

static struct lsi_request *first_from(uint64_t offset) {
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = {.size = LSI_ENDLESS, .known = LSI_KNOWN_SIZE, .device = 3};
  assert_int_equal(lsi_request_add_object(r, "endless", &info, NULL, NULL), 0);
  assert_int_equal(lsi_request_cut_on(r, 0, offset, CHUNK, NULL), 0);
  return r;
}

/* n chunks behind the first `before`; 0: there are no more. */
static void has(const struct lsi_request *first, uint64_t before, uint32_t most, uint32_t n) {
  struct lsi_request *r;
  assert_int_equal(lsi_request_cut_more(first, before, most, &r, NULL), 0);
  if (!n) assert_null(r);
  if (!r) return;
  assert_int_equal(r->n_chunks, n);
  assert_int_equal(r->n_steps, n);
  assert_string_equal(lsi_request_name(r, 0), "endless");
  assert_true(r->objects[0].size == LSI_ENDLESS && r->objects[0].device == 3);
  assert_true(r->first_index == before && r->keeps == first->keeps && r->missing == first->missing);
  for (uint32_t i = 0; i < n; i++) {
    assert_true(r->offset[i] == first->offset[0] + (before + i) * CHUNK);
    assert_true(r->length[i] == CHUNK && r->object[i] == 0);
  }
  lsi_request_free(r);
}

static void is_too_many(const struct lsi_request *first, uint64_t before) {
  struct lsi_error e = {0};
  struct lsi_request *r;
  assert_int_equal(lsi_request_cut_more(first, before, 10, &r, &e), LSIO_ERR_LIMIT);
  assert_null(r);
  assert_string_equal(e.object, "endless");
  assert_true(e.offset == first->offset[0] + before * CHUNK);
  assert_non_null(strstr(e.remedy, "chunk"));
}

static void as_many_as_are_asked_for(void **unused) {
  (void)unused;
  struct lsi_request *first = first_from(77);
  first->keeps = 1;
  first->missing = LSI_MISSING_FILL;
  assert_int_equal(first->n_chunks, 64);
  has(first, 64, 1, 1);
  has(first, 65, 1024, 1024);
  assert_int_equal(lsi_request_select(first, 0, 1, 100, NULL), 0);
  has(first, 64, 10, 10);
  has(first, 74, 1024, 26);
  has(first, 100, 1024, 0);
  lsi_request_free(first);
}

static void up_to_the_last_byte_that_has_a_number(void **unused) {
  (void)unused;
  struct lsi_request *first = first_from(LSI_ENDLESS - 100 * CHUNK - 999);
  has(first, 64, 10, 10);
  has(first, 74, 1024, 26);
  is_too_many(first, 100);
  lsi_request_free(first);
  first = first_from(LSI_ENDLESS - 3 * CHUNK); /* fewer than are cut at first */
  assert_int_equal(first->n_chunks, 3);
  is_too_many(first, 3);
  lsi_request_free(first);
}

static void up_to_the_last_that_can_be_counted(void **unused) {
  (void)unused;
  struct lsi_request *first = first_from(0);
  has(first, LSI_MAX_CHUNKS - 100, 10, 10);
  has(first, LSI_MAX_CHUNKS - 5, 10, 4);
  is_too_many(first, LSI_MAX_CHUNKS - 1);
  lsi_request_free(first);
}

static void what_cannot_be_cut_on(void **unused) {
  (void)unused;
  struct lsi_request *r = lsi_request_create();
  const struct lsi_object_info info = {.size = LSI_ENDLESS, .known = LSI_KNOWN_SIZE};
  assert_int_equal(lsi_request_add_object(r, "endless", &info, NULL, NULL), 0);
  assert_int_equal(lsi_request_cut_on(r, 0, 0, 0, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_cut_on(r, 0, LSI_ENDLESS - CHUNK + 1, CHUNK, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_cut_on(r, 0, UINT64_MAX, CHUNK, NULL), LSIO_ERR_USAGE);
  assert_int_equal(lsi_request_add_object(r, "another", &info, NULL, NULL), 0);
  assert_int_equal(lsi_request_cut_on(r, 0, 0, CHUNK, NULL), LSIO_ERR_USAGE);
  lsi_request_free(r);
}

static void no_allocation_failure_leaks(void **unused) {
  (void)unused;
  struct lsi_request *first = first_from(0), *r = NULL;
  int rc = LSIO_ERR_NOMEM;
  for (uint64_t n = 1; rc; n++) {
    const int64_t live = lsi_mem_live();
    lsi_mem_fail_nth(n, false);
    rc = lsi_request_cut_more(first, 64, 10, &r, NULL);
    lsi_mem_fail_nth(0, false);
    assert_true(rc == LSIO_ERR_NOMEM ? !r && lsi_mem_live() == live : rc == 0 && n > 2);
  }
  lsi_request_free(r);
  lsi_request_free(first);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_many_as_are_asked_for),
      cmocka_unit_test(up_to_the_last_byte_that_has_a_number),
      cmocka_unit_test(up_to_the_last_that_can_be_counted),
      cmocka_unit_test(what_cannot_be_cut_on),
      cmocka_unit_test(no_allocation_failure_leaks),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
