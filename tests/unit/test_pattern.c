/* One component of a pattern against one name: as fnmatch for ASCII, and by characters for UTF-8. */
#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ground/base.h"
#include "linux/os_linux_pattern.h"

static bool matches(const char *pattern, const char *name) {
  struct lsi_pattern_part p;
  assert_true(lsi_pattern_read(pattern, &p));
  return lsi_pattern_matches(&p, name, strlen(name));
}

static void characters(void **state) {
  (void)state;
  static const struct {
    const char *pattern, *name;
    bool want;
  } cases[] = {
      {"?", "\xC3\xA4", true},                  /* a umlaut */
      {"?.bin", "\xE2\x82\xAC.bin", true},      /* euro */
      {"??", "\xF0\x9F\x98\x80x", true},        /* beyond the basic plane */
      {"?", "\xF0\x9F\x98\x80x", false},
      {"??", "\xC3\xA4", false},
      {"?\xA4", "\xC3\xA4", false},             /* no half of a character */
      {"*[\xA4]", "\xC3\xA4", false},
      {"*?", "\xC3\xA4", true},
      {"*??", "\xC3\xA4", false},
      {"?*\xC3\xB6", "\xC3\xA4\xC3\xB6", true},
      {"[\xC3\xA4\xC3\xB6]", "\xC3\xB6", true},
      {"[\xC3\xA4]", "\xC3\xB6", false},        /* they begin with the same byte */
      {"[\xC3\xA4-\xC3\xBC]x", "\xC3\xB6x", true},
      {"[a-\xC3\xB6]", "\xC3\xA4", true},
      {"[!a]", "\xC3\xA4", true},
      {"[^\xC3\xA4]", "\xC3\xA4", false},
      {"[![:alpha:]]", "\xC3\xA4", true},        /* of ASCII */
      {"[[:upper:][.a.][=b=]]", "b", true},
      {"[[:upper:][.a.]]", "b", false},
      {"[[:none:]]", "n", false},
      /* Bytes that are no UTF-8 are characters, each of them. */
      {"?", "\xFF", true},
      {"??", "\xC3x", true},
      {"???", "\xE2\x82x", true},
      {"?", "\xE2\x82", false},
      {"??", "\xC0\xAF", true},                  /* too long a form */
      {"???", "\xED\xA0\x80", true},             /* a surrogate */
      {"????", "\xF4\x90\x80\x80", true},        /* behind the last one */
      {"[\x80-\xFF]", "\xC3", true},
      {"[!a]\xFF", "\xFE\xFF", true},
      {"?[!b]", "[.", true},
      {"?", ".", false},
      {"[.]x", ".x", false},
      {"\\.?", ".x", true},
      {"*", ".x", false},
      {"\xFF?", "\xFF\xC3\xA4", true},
      /* Brackets that do not end are what they are. */
      {"[", "[", true},
      {"a[b", "a[b", true},
      {"a[b*", "a[bc", true},
      {"[!", "[!", true},
      {"[]a", "[]a", true},
      {"[a\\]", "[a]", true},
      {"[[:alpha:]", "a", false},
      {"\\", "\\", false},
  };
  for (size_t i = 0; i < LSI_COUNTOF(cases); i++)
    if (matches(cases[i].pattern, cases[i].name) != cases[i].want) fail_msg("case %zu: %s", i, cases[i].pattern);
}

static uint64_t rng;
static uint32_t next(uint32_t n) {
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return (uint32_t)((rng >> 16) % n);
}

#define TEXT 64

/* Up to four of n texts, one behind the other. */
static void draw(char *to, const char *const *texts, uint32_t n) {
  size_t at = 0;
  for (uint32_t k = next(4) + 1; k; k--) at += (size_t)snprintf(to + at, TEXT - at, "%s", texts[next(n)]);
}

static void as_fnmatch(void **state) {
  (void)state;
  const char *given = getenv("LSIO_TEST_SEED");
  const uint64_t seed = rng = given ? strtoull(given, NULL, 0) | 1 : 0x9E3779B97F4A7C15u;
  static const char *const parts[] = {"a", "b", "*", "*", "?", "[ab]", "[!a]", "[^b-]", "[a-b]", "[]a]", "[!]b]", "\\*",
                                      "\\a", "[a\\]]", "[[:alpha:]]", "[![:digit:]b]", ".", "[.]", "[-a]", "]", "{",
                                      "[b-a]", "**", "[*?]", "\\"},
                    *const letters[] = {"a", "b", "ab", "c", "]", "*", "-", "[", "1", "\\", "{"};
  unsigned n_matches = 0;
  for (int i = 0; i < 200000; i++) {
    char pattern[TEXT], name[TEXT + 1];
    draw(pattern, parts, LSI_COUNTOF(parts));
    name[0] = '.';
    draw(name + next(2), letters, LSI_COUNTOF(letters));
    if (strcmp(pattern, "**") == 0) continue; /* which is any depth */
    /* glibc's takes some points for leading ones that are none: "**?[!b]" does not match "[.". */
    const bool want = fnmatch(pattern, name, name[0] == '.' ? FNM_PERIOD : 0) == 0;
    if (matches(pattern, name) != want)
      fail_msg("seed %#llx: '%s' against '%s': fnmatch says %d", (unsigned long long)seed, pattern, name, want);
    n_matches += want;
  }
  assert_true(n_matches > 5000);
}

/* What a star might share out among many others takes no time that grows with their number's power. */
static void many_stars(void **state) {
  (void)state;
  char pattern[256], name[256];
  size_t at = 0;
  for (int i = 0; i < 80; i++) at += (size_t)snprintf(pattern + at, sizeof pattern - at, "*a?");
  memset(name, 'a', 255);
  name[255] = 0;
  snprintf(pattern + at, sizeof pattern - at, "b");
  assert_false(matches(pattern, name));
  name[254] = 'b';
  assert_true(matches(pattern, name));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(characters), cmocka_unit_test(as_fnmatch),
                                     cmocka_unit_test(many_stars)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
