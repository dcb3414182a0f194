/* Numbers as people read them, and a text in lines. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ground/mem.h"
#include "ground/text.h"
#include "ground/types.h"
#include "ground/units.h"
#include "lsio.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

static void sizes(void **unused) {
  (void)unused;
  static const struct {
    uint64_t bytes;
    const char *text;
  } cases[] = {{0, "0 B"},           {1, "1 B"},           {1023, "1023 B"},    {1024, "1 KiB"},
               {1025, "1.00 KiB"},   {1536, "1.50 KiB"},   {4000, "3.91 KiB"},  {10239, "10.0 KiB"},
               {102348, "99.9 KiB"}, {102399, "100 KiB"},  {64 * MIB, "64 MiB"}, {1023 * KIB, "1023 KiB"},
               {MIB - 1, "1.00 MiB"}, {UINT64_MAX, "16 EiB"}};
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++)
    assert_string_equal(lsi_show_size(cases[i].bytes).text, cases[i].text);
  char buf[32], small[4];
  assert_string_equal(lsio_size_format(1536, buf, sizeof buf), "1.50 KiB");
  assert_string_equal(lsio_size_format(1536, small, sizeof small), "1.5");
}

/* What is shown is a size that settings take, and within half of the last digit that is shown. */
static void sizes_are_read_back(void **unused) {
  (void)unused;
  uint64_t x = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    const uint64_t bytes = x >> (24 + x % 40);
    struct lsi_shown s = lsi_show_size(bytes);
    double shown = 0;
    char unit[8] = "";
    assert_int_equal(sscanf(s.text, "%lf %7s", &shown, unit), 2);
    uint64_t one;
    char text[16];
    snprintf(text, sizeof text, "1%s", unit);
    assert_true(lsi_size_parse(text, &one));
    if (fabs(shown * (double)one - (double)bytes) > 0.005001 * (double)bytes)
      fail_msg("%llu is shown as %s", (unsigned long long)bytes, s.text);
    assert_true(strlen(s.text) <= 8);
  }
}

static void rates_times_and_counts(void **unused) {
  (void)unused;
  assert_string_equal(lsi_show_rate(1.5 * 1024 * 1024 * 1024).text, "1.50 GiB/s");
  assert_string_equal(lsi_show_rate(0.4).text, "0.40 B/s");
  assert_string_equal(lsi_show_rate(NAN).text, "0 B/s");
  assert_string_equal(lsi_show_rate(-1).text, "0 B/s");
  assert_non_null(strstr(lsi_show_rate(INFINITY).text, " EiB/s"));
  static const struct {
    double s;
    const char *text;
  } times[] = {{0, "0 s"},          {NAN, "0 s"},         {3e-9, "3 ns"},     {1.234e-6, "1.23 us"},
               {0.0009996, "1.00 ms"}, {0.0125, "12.5 ms"}, {0.9999, "1.00 s"}, {1.26, "1.26 s"},
               {99.96, "100 s"},    {119.4, "119 s"},     {119.6, "2 min 0 s"}, {125.4, "2 min 5 s"},
               {7200, "120 min 0 s"}};
  for (size_t i = 0; i < LSI_COUNTOF(times); i++)
    assert_string_equal(lsi_show_time(times[i].s).text, times[i].text);
  assert_true(strlen(lsi_show_time(INFINITY).text) < 32);
  assert_string_equal(lsi_show_count(0).text, "0");
  assert_string_equal(lsi_show_count(999).text, "999");
  assert_string_equal(lsi_show_count(1234567).text, "1,234,567");
  assert_string_equal(lsi_show_count(UINT64_MAX).text, "18,446,744,073,709,551,615");
}

static void wraps(const char *text, size_t columns, const char *want) {
  struct lsi_text t = {0};
  lsi_text_wrap(&t, text, columns, 2);
  char *got = lsi_text_take(&t);
  assert_string_equal(got, want);
  lsi_free(got);
}

static void lines_break_between_words(void **unused) {
  (void)unused;
  wraps("", 10, "");
  wraps("\n", 10, "\n");
  wraps("one two", 10, "one two");
  wraps("12345 7890\n", 10, "12345 7890\n");
  wraps("12345 78901 34", 10, "12345\n  78901 34");
  wraps("a  b \nc", 10, "a  b\nc");
  wraps("1234567890 x", 10, "1234567890\n  x");
  wraps("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4 \xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6", 10,
        "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4 \xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6");
  wraps("                    x", 10, "x");
  wraps("12345 1.5 MiB", 10, "12345\n  1.5 MiB");
  wraps("1234 7, MiB", 10, "1234 7,\n  MiB");
}

static void long_words_break_too(void **unused) {
  (void)unused;
  wraps("12345678901234567890123", 10, "1234567890\n  12345678\n  90123");
  wraps("in /abcdefg/ijklmnopq/rs", 10, "in\n  /abcdefg\n  /ijklmno\n  pq/rs");
  wraps("/abcde/ghijkl", 10, "/abcde/\n  ghijkl");
  wraps("\xff\xfe\xfd\xfc\xfb", 3, "\xff\xfe\xfd\n  \xfc\n  \xfb");
}

/* Nothing is lost but blanks, no line is longer, and only words longer than a line are broken. */
static void any_text_fits(void **unused) {
  (void)unused;
  static const char *const parts[] = {" ", "  ", "a", "word", "/", "\n", "\xc3\xa9", "0123456789012345678901234567890"};
  uint64_t x = 7;
  for (int round = 0; round < 3000; round++) {
    char text[512], packed[512], got_packed[1024];
    int length = 0;
    for (int i = 0; i < 14; i++) {
      x = x * 6364136223846793005u + 1442695040888963407u;
      length += snprintf(text + length, sizeof text - (size_t)length, "%s", parts[(x >> 33) % LSI_COUNTOF(parts)]);
    }
    struct lsi_text t = {0};
    lsi_text_wrap(&t, text, 20, 4);
    char *got = lsi_text_take(&t);
    size_t n = 0, m = 0, column = 0;
    for (const char *p = text; *p; p++)
      if (*p != ' ' && *p != '\n') packed[n++] = *p;
    for (const char *p = got; *p; p++) {
      if (*p != ' ' && *p != '\n') got_packed[m++] = *p;
      column = *p == '\n' ? 0 : column + (((unsigned char)*p & 0xC0) != 0x80);
      if (column > 20) fail_msg("'%s' became '%s'", text, got);
    }
    assert_int_equal(n, m);
    assert_memory_equal(packed, got_packed, n);
    lsi_free(got);
  }
}

static void no_memory(void **unused) {
  (void)unused;
  const int64_t live = lsi_mem_live();
  for (uint64_t nth = 1; nth < 3; nth++) {
    struct lsi_text t = {0};
    lsi_mem_fail_nth(nth, true);
    for (int i = 0; i < 300; i++) lsi_text_add(&t, "%s", "a line of some length\n");
    lsi_text_bytes(&t, "x", 1);
    lsi_text_wrap(&t, "a b c", 3, 1);
    lsi_mem_fail_nth(0, false);
    assert_true(t.failed);
    assert_null(lsi_text_take(&t));
  }
  assert_int_equal(lsi_mem_live(), live);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sizes),
      cmocka_unit_test(sizes_are_read_back),
      cmocka_unit_test(rates_times_and_counts),
      cmocka_unit_test(lines_break_between_words),
      cmocka_unit_test(long_words_break_too),
      cmocka_unit_test(any_text_fits),
      cmocka_unit_test(no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
