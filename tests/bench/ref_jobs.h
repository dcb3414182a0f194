/* What ref_jobs and drive_jobs share: which ranges of a file are read, and how the times of many are told. */
#ifndef BENCH_REF_JOBS_H
#define BENCH_REF_JOBS_H

#include "ref.h"

enum { JOB_LENGTH = 4096, JOB_WARM = 1000 };

/* The i-th of random blocks (SplitMix64), as peer_object_store takes them too. */
static inline uint64_t ref_block(uint64_t i, uint64_t blocks) {
  uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (z ^ (z >> 31)) % blocks;
}

static inline uint64_t ref_blocks(const char *path) {
  struct stat st;
  if (stat(path, &st)) ref_die("%s: %s", path, strerror(errno));
  if (st.st_size < JOB_LENGTH) ref_die("%s: shorter than a range", path);
  return (uint64_t)st.st_size / JOB_LENGTH;
}

static inline uint64_t ref_word(const void *data) {
  uint32_t word;
  memcpy(&word, data, sizeof word);
  return word;
}

static inline int ref_by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* One JSON line of n jobs and how long each took, in seconds; sorts `took`. `more` as ref_print's. */
static inline void ref_print_jobs(double wall, double cpu, uint64_t n, uint64_t words, double *took, const char *more) {
  char text[512];
  qsort(took, n, sizeof *took, ref_by_size);
  snprintf(text, sizeof text,
           ", \"words\": %" PRIu64 ", \"us_per_range\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f%s",
           words, wall * 1e6 / (double)n, took[(n - 1) / 2] * 1e6, took[(n - 1) * 99 / 100] * 1e6, took[n - 1] * 1e6,
           more ? more : "");
  ref_print(wall, cpu, n, n * JOB_LENGTH, text);
}

#endif
