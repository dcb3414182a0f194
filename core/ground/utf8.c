#include "ground/utf8.h"

#include <string.h>

/* Length of the UTF-8 sequence that starts at p, before `end`; 0 if there is none. */
static size_t sequence(const unsigned char *p, const unsigned char *end) {
  size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xC2 && p[0] < 0xE0 ? 2 : (p[0] & 0xF0) == 0xE0 ? 3
             : p[0] >= 0xF0 && p[0] < 0xF5 ? 4 : 0;
  if (n > (size_t)(end - p)) return 0;
  for (size_t i = 1; i < n; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  /* Longer than they need be, halves of surrogate pairs, beyond U+10FFFF. */
  if (n == 3 && ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] >= 0xA0))) return 0;
  if (n == 4 && ((p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] >= 0x90))) return 0;
  return n;
}

size_t lsi_utf8_clean(const char *text, size_t n, char *out) {
  static const char digits[] = "0123456789ABCDEF";
  const unsigned char *p = (const unsigned char *)text, *end = p + n;
  size_t at = 0;
  while (p < end) {
    const size_t k = sequence(p, end);
    if (k) {
      if (out) memcpy(out + at, p, k);
      p += k;
      at += k;
      continue;
    }
    if (out) memcpy(out + at, (char[4]){'\\', 'x', digits[*p >> 4], digits[*p & 15]}, 4);
    p++;
    at += 4;
  }
  return at;
}
