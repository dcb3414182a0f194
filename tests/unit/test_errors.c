/* Errors: what kind they are, whether trying again may help, copies, and JSON. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "ground/err.h"
#include "ground/mem.h"

static const struct {
  int code, os_code, kind;
  bool passes;
} told[] = {
    {LSIO_ERR_USAGE, 0, LSIO_KIND_USAGE, false},
    {LSIO_ERR_SCRIPT, 0, LSIO_KIND_SCRIPT, false},
    {LSIO_ERR_SOURCE, 0, LSIO_KIND_USAGE, false},
    {LSIO_ERR_SOURCE, ENOENT, LSIO_KIND_NOT_FOUND, false},
    {LSIO_ERR_SOURCE, ENOTDIR, LSIO_KIND_NOT_FOUND, false},
    {LSIO_ERR_SOURCE, EACCES, LSIO_KIND_PERMISSION, false},
    {LSIO_ERR_SOURCE, EPERM, LSIO_KIND_PERMISSION, false},
    {LSIO_ERR_SOURCE, EISDIR, LSIO_KIND_USAGE, false},
    {LSIO_ERR_SOURCE, ENAMETOOLONG, LSIO_KIND_USAGE, false},
    {LSIO_ERR_SOURCE, ESTALE, LSIO_KIND_CHANGED, true},
    {LSIO_ERR_IO, 0, LSIO_KIND_IO, false},
    {LSIO_ERR_IO, EIO, LSIO_KIND_IO, false},
    {LSIO_ERR_IO, EMFILE, LSIO_KIND_IO, true},
    {LSIO_ERR_IO, ENFILE, LSIO_KIND_IO, true},
    {LSIO_ERR_IO, ECONNRESET, LSIO_KIND_IO, true},
    {LSIO_ERR_IO, ETIMEDOUT, LSIO_KIND_TIMEOUT, true},
    {LSIO_ERR_IO, ENOMEM, LSIO_KIND_NO_MEMORY, true},
    {LSIO_ERR_OUTPUT, 0, LSIO_KIND_USAGE, false},
    {LSIO_ERR_OUTPUT, EEXIST, LSIO_KIND_EXISTS, false},
    {LSIO_ERR_OUTPUT, ENOENT, LSIO_KIND_NOT_FOUND, false},
    {LSIO_ERR_OUTPUT, ENOSPC, LSIO_KIND_NO_SPACE, false},
    {LSIO_ERR_OUTPUT, EDQUOT, LSIO_KIND_NO_SPACE, false},
    {LSIO_ERR_OUTPUT, EROFS, LSIO_KIND_PERMISSION, false},
    {LSIO_ERR_OUTPUT, EFBIG, LSIO_KIND_LIMIT, false},
    {LSIO_ERR_OUTPUT, EIO, LSIO_KIND_IO, false},
    {LSIO_ERR_TRANSFORM, ENOENT, LSIO_KIND_TRANSFORM, false},
    {LSIO_ERR_CORRUPT, 0, LSIO_KIND_CORRUPT, false},
    {LSIO_ERR_LIMIT, 0, LSIO_KIND_LIMIT, false},
    {LSIO_ERR_LIMIT, EAGAIN, LSIO_KIND_LIMIT, true}, /* a thread could not be started */
    {LSIO_ERR_NOMEM, 0, LSIO_KIND_NO_MEMORY, true},
    {LSIO_ERR_CANCELLED, 0, LSIO_KIND_CANCELLED, false},
    {LSIO_ERR_UNSUPPORTED, ENOSYS, LSIO_KIND_UNSUPPORTED, false},
    {LSIO_ERR_BUSY, 0, LSIO_KIND_BUSY, true},
    {LSIO_ERR_BUG, 0, LSIO_KIND_BUG, false},
    {LSIO_ERR_FORKED, 0, LSIO_KIND_FORKED, false},
    {LSIO_ERR_TIMEOUT, 0, LSIO_KIND_TIMEOUT, true},
    {-12345, ENOENT, LSIO_KIND_OTHER, false},
};

static struct lsi_error made(int code, int os_code) {
  struct lsi_error e;
  lsi_error_clear(&e);
  lsi_fail(&e, code, os_code, "it failed");
  return e;
}

static void kinds_follow_from_codes(void **unused) {
  (void)unused;
  for (size_t i = 0; i < LSI_COUNTOF(told); i++) {
    const struct lsi_error e = made(told[i].code, told[i].os_code);
    if (lsio_error_kind(&e) != told[i].kind || lsio_error_is_retryable(&e) != told[i].passes)
      fail_msg("%s, %d: %s, %d", lsio_error_name(told[i].code), told[i].os_code,
               lsio_error_kind_name(lsio_error_kind(&e)), lsio_error_is_retryable(&e));
  }
  struct lsi_error none;
  lsi_error_clear(&none);
  none.os_code = ENOENT;
  assert_int_equal(lsio_error_kind(&none), LSIO_KIND_NONE);
}

/* A code without a kind of its own would be "other". */
static void every_code_has_a_kind(void **unused) {
  (void)unused;
#define HAS_KIND(name, value, exit_code, text)                                \
  do {                                                                        \
    const struct lsi_error e = made(name, 0);                                 \
    if (lsio_error_kind(&e) <= LSIO_KIND_OTHER) fail_msg("%s has no kind", #name); \
  } while (0);
  LSIO_ERRORS(HAS_KIND)
  static const char *const words[] = {
#define WORD(name, value, word) [value] = word,
      LSIO_KINDS(WORD)};
  for (size_t i = 0; i < LSI_COUNTOF(words); i++)
    assert_string_equal(lsio_error_kind_name((int)i), words[i]);
  assert_string_equal(lsio_error_kind_name(-1), "other");
  assert_string_equal(lsio_error_kind_name(LSI_COUNTOF(words)), "other");
}

static void who_knows_better_says_so(void **unused) {
  (void)unused;
  struct lsi_error e;
  lsi_error_clear(&e);
  lsi_error_is(&e, LSIO_KIND_CHANGED); /* of no error */
  assert_int_equal(lsio_error_kind(&e), LSIO_KIND_NONE);
  e = made(LSIO_ERR_SOURCE, 0);
  lsi_error_is(&e, LSIO_KIND_CHANGED);
  lsi_error_is(&e, LSIO_KIND_IO); /* the first one stays */
  assert_int_equal(lsio_error_kind(&e), LSIO_KIND_CHANGED);
  assert_true(lsio_error_is_retryable(&e));
}

static void codes_of_waiting_and_forks(void **unused) {
  (void)unused;
  assert_int_equal(LSIO_ERR_FORKED, -15);
  assert_int_equal(LSIO_ERR_TIMEOUT, -16);
  assert_int_equal(lsi_error_exit_code(LSIO_ERR_TIMEOUT), 9);
  assert_string_equal(lsio_error_name(LSIO_ERR_FORKED), "LSIO_ERR_FORKED");
}

static void copies_last(void **unused) {
  (void)unused;
  const int64_t live = lsi_mem_live();
  struct lsi_error e = made(LSIO_ERR_IO, EIO);
  lsi_error_at(&e, "a.f32", 4096, 512, 7);
  lsio_error *copy = lsio_error_dup(&e);
  assert_ptr_not_equal(copy, &e);
  char message[2048];
  snprintf(message, sizeof message, "%s", lsio_error_message(&e));
  memset(&e, 0x55, sizeof e);
  assert_string_equal(lsio_error_message(copy), message);
  assert_string_equal(lsio_error_object(copy), "a.f32");
  assert_true(lsio_error_offset(copy) == 4096 && lsio_error_length(copy) == 512 && lsio_error_step(copy) == 7);
  assert_int_equal(lsio_error_code(copy), LSIO_ERR_IO);
  assert_int_equal(lsio_error_os_code(copy), EIO);
  lsio_error *again = lsio_error_dup(copy);
  lsio_error_free(copy);
  assert_string_equal(lsio_error_message(again), message);
  lsi_mem_fail_nth(1, true);
  lsio_error *poor = lsio_error_dup(again);
  lsi_mem_fail_nth(0, false);
  assert_int_equal(lsio_error_code(poor), LSIO_ERR_NOMEM);
  assert_int_equal(lsio_error_kind(poor), LSIO_KIND_NO_MEMORY);
  lsio_error_free(poor);
  lsio_error_free(again);
  assert_null(lsio_error_dup(NULL));
  assert_true(lsi_mem_live() == live);
}

static void without_a_place(void **unused) {
  (void)unused;
  const struct lsi_error e = made(LSIO_ERR_CANCELLED, 0);
  assert_true(lsio_error_offset(&e) == UINT64_MAX && lsio_error_length(&e) == UINT64_MAX);
  assert_true(lsio_error_step(&e) == UINT64_MAX);
}

static void json_names_the_kind(void **unused) {
  (void)unused;
  const struct lsi_error e = made(LSIO_ERR_OUTPUT, ENOSPC);
  char *text = lsio_error_json(&e);
  json_t *o = json_loads(text, 0, NULL);
  assert_string_equal(json_string_value(json_object_get(o, "kind")), "no_space");
  assert_string_equal(json_string_value(json_object_get(o, "code")), "LSIO_ERR_OUTPUT");
  json_decref(o);
  lsio_free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kinds_follow_from_codes), cmocka_unit_test(every_code_has_a_kind),
      cmocka_unit_test(who_knows_better_says_so), cmocka_unit_test(codes_of_waiting_and_forks),
      cmocka_unit_test(copies_last), cmocka_unit_test(without_a_place), cmocka_unit_test(json_names_the_kind)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
