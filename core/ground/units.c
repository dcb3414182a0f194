#include "ground/units.h"

#include <math.h>
#include <stdio.h>

struct unit {
  const char *name;
  double next; /* of these make one of the next unit; 0: it is the last */
};

static const struct unit sizes[] = {{"B", 1024},   {"KiB", 1024}, {"MiB", 1024}, {"GiB", 1024},
                                    {"TiB", 1024}, {"PiB", 1024}, {"EiB", 0}};
static const struct unit times[] = {{"ns", 1000}, {"us", 1000}, {"ms", 1000}, {"s", 0}};

/* In the unit in which it is at least 1 and, as it is written, not yet one of the next. */
static struct lsi_shown show(double x, const struct unit *u, const char *behind) {
  struct lsi_shown out;
  if (!(x > 0)) x = 0; /* NaN too */
  for (; u->next > 0 && x >= u->next - 0.5; u++) x /= u->next;
  const int places = x == floor(x) || x >= 99.95 ? 0 : x >= 9.995 ? 1 : 2;
  snprintf(out.text, sizeof out.text, "%.*f %s%s", places, LSI_MIN(x, 1e15), u->name, behind);
  return out;
}

struct lsi_shown lsi_show_size(uint64_t bytes) { return show((double)bytes, sizes, ""); }

struct lsi_shown lsi_show_rate(double bytes_per_s) { return show(bytes_per_s, sizes, "/s"); }

struct lsi_shown lsi_show_time(double seconds) {
  if (!(seconds >= 119.5)) return seconds > 0 ? show(seconds * 1e9, times, "") : show(0, &times[3], "");
  struct lsi_shown out;
  const double s = floor(LSI_MIN(seconds, 1e12) + 0.5);
  snprintf(out.text, sizeof out.text, "%.0f min %.0f s", floor(s / 60), fmod(s, 60));
  return out;
}

struct lsi_shown lsi_show_count(uint64_t n) {
  struct lsi_shown out;
  char digits[24];
  const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
  size_t at = 0;
  for (int i = 0; i < length; i++) {
    if (i && (length - i) % 3 == 0) out.text[at++] = ',';
    out.text[at++] = digits[i];
  }
  out.text[at] = 0;
  return out;
}
