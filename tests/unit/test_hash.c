/* SHA-256 in pieces and its errors; XXH3 at every level, length and place. What the values must be,
 * tests/cli compares with hashlib and libxxhash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "ground/err.h"
#include "codec/hash.h"
#include "kernel_data.h"
#include "ground/mem.h"

static struct kd_buffer buffer;

static void hex_of(struct lsi_sha256 *h, char text[65]) {
  uint8_t out[33];
  out[32] = 0x5a;
  assert_int_equal(lsi_sha256_digest(h, out, NULL), 0);
  assert_int_equal(out[32], 0x5a);
  lsi_hex(out, 32, false, text);
  text[64] = 0;
}

/* The examples of FIPS 180. */
static void test_known(void **state) {
  (void)state;
  struct lsi_sha256 *h = lsi_sha256_create(NULL);
  char text[65];
  assert_non_null(h);
  hex_of(h, text);
  assert_string_equal(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert_int_equal(lsi_sha256_update(h, "abc", 3, NULL), 0);
  hex_of(h, text);
  assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  hex_of(h, text); /* the same again: asking does not end it */
  assert_string_equal(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert_int_equal(lsi_sha256_reset(h, NULL), 0);
  assert_int_equal(lsi_sha256_update(h, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, NULL), 0);
  hex_of(h, text);
  assert_string_equal(text, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  lsi_sha256_free(h);
  lsi_sha256_free(NULL);
}

static void test_pieces(void **state) {
  (void)state;
  enum { N = 300 };
  unsigned char *p = kd_at(buffer, N, 0);
  char whole[65], text[65];
  struct lsi_sha256 *a = lsi_sha256_create(NULL), *b = lsi_sha256_create(NULL);
  kd_fill(KD_BITS, LSI_U8, p, N);
  assert_int_equal(lsi_sha256_update(a, p, N, NULL), 0);
  hex_of(a, whole);
  for (size_t first = 0; first <= N; first++) {
    assert_int_equal(lsi_sha256_reset(b, NULL), 0);
    assert_int_equal(lsi_sha256_update(b, p, first, NULL), 0);
    hex_of(b, text);
    assert_true((strcmp(text, whole) == 0) == (first == N));
    assert_int_equal(lsi_sha256_update(b, p + first, N - first, NULL), 0);
    hex_of(b, text);
    assert_string_equal(text, whole);
  }
  lsi_sha256_free(a);
  lsi_sha256_free(b);
}

static void test_hex(void **state) {
  (void)state;
  char text[9] = "........";
  lsi_hex((const uint8_t *)"\x01\x2f\xab\xff", 4, false, text);
  assert_string_equal(text, "012fabff");
  lsi_hex((const uint8_t *)"\x01\x2f\xab\xff", 4, true, text);
  assert_string_equal(text, "ffab2f01");
  lsi_hex((const uint8_t *)"", 0, true, text);
  assert_string_equal(text, "ffab2f01");
}

static void test_errors(void **state) {
  (void)state;
  struct lsi_error err = {0};
  int64_t live = lsi_mem_live();
  lsi_mem_fail_nth(1, false);
  assert_null(lsi_sha256_create(&err));
  lsi_mem_fail_nth(0, false);
  assert_int_equal(err.code, LSIO_ERR_NOMEM);
  /* A machine whose OpenSSL may only use what is certified, and has nothing that is. */
  lsi_error_clear(&err);
  assert_int_equal(EVP_set_default_properties(NULL, "fips=yes"), 1);
  assert_null(lsi_sha256_create(&err));
  assert_int_equal(EVP_set_default_properties(NULL, ""), 1);
  assert_int_equal(err.code, LSIO_ERR_UNSUPPORTED);
  assert_non_null(strstr(err.what, "OpenSSL could not begin a SHA-256: error:"));
  assert_non_null(strstr(err.remedy, "openssl dgst -sha256"));
  struct lsi_sha256 *h = lsi_sha256_create(NULL);
  assert_non_null(h);
  lsi_sha256_free(h);
  assert_true(lsi_mem_live() == live);
}

static void test_xxh3(void **state) {
  (void)state;
  static unsigned char data[20000];
  size_t n_levels;
  const struct lsi_kernels *const *levels = kd_levels(&n_levels);
  kd_fill(KD_BITS, LSI_U8, data, sizeof data);
  for (size_t n = 0; n <= sizeof data; n += n < 600 ? 1 : 1 + n / 9) {
    uint64_t first = 0;
    for (size_t l = 0; l < n_levels; l++)
      for (size_t gap = 0; gap < 9; gap++) {
        unsigned char *p = kd_at(buffer, n, gap), out[17];
        uint64_t got;
        memcpy(p, data, n);
        memset(out, 0x5a, sizeof out);
        levels[l]->xxh3_64(p, n, out + gap);
        memcpy(&got, out + gap, 8);
        if (l + gap == 0)
          first = got;
        if (got != first || (gap < 8 && out[gap + 8] != 0x5a))
          fail_msg("level %s, n %zu, gap %zu", levels[l]->level, n, gap);
      }
  }
}

int main(void) {
  buffer = kd_buffer_new();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_known),  cmocka_unit_test(test_pieces), cmocka_unit_test(test_hex),
      cmocka_unit_test(test_errors), cmocka_unit_test(test_xxh3),
  };
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  kd_buffer_free(buffer);
  return failed;
}
