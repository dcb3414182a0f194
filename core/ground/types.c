#include "ground/types.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  char kind;
  uint8_t size;
} types[] = {
#define LSI_TYPE_ROW(e, name, ctype, kind, size) {name, kind, size},
    LSI_TYPES(LSI_TYPE_ROW)
#undef LSI_TYPE_ROW
};

const char *lsi_type_name(enum lsi_type type) { return types[type].name; }

void lsi_dtype_descr(struct lsi_dtype t, char out[4]) {
  out[0] = types[t.type].size == 1 ? '|' : t.big ? '>' : '<';
  out[1] = types[t.type].kind;
  out[2] = (char)('0' + types[t.type].size);
  out[3] = 0;
}

bool lsi_dtype_parse(const char *text, struct lsi_dtype *out) {
  size_t n = strlen(text);
  if (n == 3 && strchr("<>|=", text[0])) {
    for (int i = 0; i < LSI_TYPE_COUNT; i++)
      if (types[i].kind == text[1] && types[i].size == text[2] - '0') {
        if (text[0] == '|' && types[i].size != 1) return false;
        *out = (struct lsi_dtype){(uint8_t)i, text[0] == '>' && types[i].size > 1};
        return true;
      }
    return false;
  }
  bool big = n > 2 && strcmp(text + n - 2, "be") == 0;
  if (big) n -= 2;
  for (int i = 0; i < LSI_TYPE_COUNT; i++)
    if (strlen(types[i].name) == n && memcmp(types[i].name, text, n) == 0) {
      *out = (struct lsi_dtype){(uint8_t)i, big && types[i].size > 1};
      return true;
    }
  return false;
}

bool lsi_size_parse(const char *text, uint64_t *out) {
  while (*text == ' ') text++;
  if (!(*text >= '0' && *text <= '9') && *text != '.') return false;
  char *end;
  errno = 0;
  double value = strtod(text, &end);
  if (errno || !isfinite(value) || value < 0 || strpbrk(text, "xXpP")) return false;
  while (*end == ' ') end++;
  double unit = 1;
  if (*end) {
    static const char letters[] = "KMGT";
    char c = *end >= 'a' && *end <= 'z' ? (char)(*end - 32) : *end;
    const char *at = strchr(letters, c);
    if (at) {
      int power = (int)(at - letters) + 1;
      const char *rest = end + 1;
      bool binary = strcmp(rest, "") == 0 || strcmp(rest, "iB") == 0 || strcmp(rest, "ib") == 0;
      if (!binary && strcmp(rest, "B") != 0 && strcmp(rest, "b") != 0) return false;
      unit = pow(binary ? 1024 : 1000, power);
    } else if (strcmp(end, "B") != 0 && strcmp(end, "b") != 0) {
      return false;
    }
  }
  /* Whole numbers are parsed exactly: a double has only 53 bits. */
  if (unit == 1 && !memchr(text, '.', (size_t)(end - text)) &&
      !memchr(text, 'e', (size_t)(end - text)) && !memchr(text, 'E', (size_t)(end - text))) {
    errno = 0;
    unsigned long long exact = strtoull(text, NULL, 10);
    if (errno || exact > INT64_MAX) return false;
    *out = exact;
    return true;
  }
  double bytes = value * unit;
  if (bytes != floor(bytes) || bytes >= 9.2e18) return false;
  *out = (uint64_t)bytes;
  return true;
}
