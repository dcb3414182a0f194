#include "counted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#define CPU_MOST_S 1e-3
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* they take CPU of their own for each byte that is freed */
#else
#define SANITIZED 0
#endif

struct entry {
  const char *name;
  unsigned calls, slept; /* of this round */
  double cpu_s;          /* the longest of these */
  unsigned slept_best;   /* of all rounds so far */
  double cpu_best_s;
};
static struct entry entries[64];
static unsigned n_entries;

double counted_cpu_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

long counted_sleeps(void) {
  struct rusage r;
  getrusage(RUSAGE_THREAD, &r);
  return r.ru_nvcsw;
}

static struct entry *entry_of(const char *name) {
  for (unsigned i = 0; i < n_entries; i++)
    if (strcmp(entries[i].name, name) == 0) return &entries[i];
  assert_true(n_entries < sizeof entries / sizeof *entries);
  entries[n_entries] = (struct entry){.name = name, .slept_best = UINT32_MAX, .cpu_best_s = 1e9};
  return &entries[n_entries++];
}

void counted_note(const char *name, double cpu, long slept) {
  struct entry *x = entry_of(name);
  x->calls++;
  x->slept += slept > 0;
  if (cpu > x->cpu_s) x->cpu_s = cpu;
}

/* Is there nothing to be said against the best of all so far? */
static bool is_fine(const struct entry *x) {
  return !x->slept_best && (SANITIZED || x->cpu_best_s <= CPU_MOST_S);
}

bool counted_round(void) {
  bool fine = true;
  for (unsigned i = 0; i < n_entries; i++) {
    struct entry *x = &entries[i];
    const unsigned slept = x->slept > x->calls / 20 ? x->slept : 0;
    if (x->calls && slept < x->slept_best) x->slept_best = slept;
    if (x->calls && x->cpu_s < x->cpu_best_s) x->cpu_best_s = x->cpu_s;
    x->calls = x->slept = 0;
    x->cpu_s = 0;
    fine = fine && is_fine(x);
  }
  return fine;
}

void counted_judge(void) {
  int wrong = 0;
  for (unsigned i = 0; i < n_entries; i++) {
    const struct entry *x = &entries[i];
    if (is_fine(x)) continue;
    fprintf(stderr, "%s: slept in %u calls, took %g s of the CPU\n", x->name, x->slept_best, x->cpu_best_s);
    wrong++;
  }
  if (wrong) fail_msg("%d entries wait or take long", wrong);
}

void counted_reset(void) { n_entries = 0; }
