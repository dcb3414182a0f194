/* What is UTF-8 and what is not, by jansson's judgement; what is not comes out as \xNN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <jansson.h>

#include "ground/utf8.h"

static bool is_utf8(const char *text, size_t n) {
  json_t *s = json_stringn(text, n);
  json_decref(s);
  return s != NULL;
}

/* The longest sequences first, each judged alone. */
static size_t oracle(const char *text, size_t n, char *out) {
  size_t at = 0;
  for (size_t i = 0; i < n;) {
    size_t k = LSI_MIN(n - i, 4u);
    while (k && !is_utf8(text + i, k)) k--;
    if (k)
      memcpy(out + at, text + i, k);
    else
      snprintf(out + at, 5, "\\x%02X", (unsigned char)text[i]);
    at += k ? k : 4;
    i += k ? k : 1;
  }
  return at;
}

/* In memory that ends with the text, so that a sanitizer sees a byte too many. */
static void check(const unsigned char *bytes, size_t n) {
  char *text = malloc(n ? n : 1), got[64], want[64];
  if (n) memcpy(text, bytes, n);
  const size_t length = oracle(text, n, want);
  assert_int_equal(lsi_utf8_clean(text, n, NULL), length);
  assert_int_equal(lsi_utf8_clean(text, n, got), length);
  assert_memory_equal(got, want, length);
  assert_int_equal(length == n, is_utf8(text, n));
  assert_true(is_utf8(got, length));
  free(text);
}

static void every_short_text(void **state) {
  (void)state;
  for (unsigned a = 0; a < 256; a++) {
    check((unsigned char[]){(unsigned char)a}, 1);
    for (unsigned b = 0; b < 256; b++) check((unsigned char[]){(unsigned char)a, (unsigned char)b}, 2);
  }
  static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF,
                                        0xE0, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF3, 0xF4, 0xF5, 0xFF};
  const size_t n = sizeof edges;
  for (size_t i = 0; i < n * n * n * n; i++)
    check((unsigned char[]){edges[i % n], edges[i / n % n], edges[i / n / n % n], edges[i / n / n / n]}, 4);
  check(NULL, 0);
}

static void random_texts(void **state) {
  (void)state;
  const char *given = getenv("LSIO_TEST_SEED");
  const unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
  printf("LSIO_TEST_SEED=%u\n", seed);
  srandom(seed);
  static const char *const pieces[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\xA0\x80",
                                       "\xC0\x80", "\xF4\x90\x80\x80"};
  for (int round = 0; round < 20000; round++) {
    unsigned char text[16];
    size_t n = 0;
    while (n < 12 && random() % 6) {
      if (random() % 3) {
        const char *piece = pieces[(size_t)random() % LSI_COUNTOF(pieces)];
        memcpy(text + n, piece, strlen(piece));
        n += strlen(piece);
      } else {
        text[n++] = (unsigned char)random();
      }
    }
    check(text, n);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_short_text), cmocka_unit_test(random_texts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
