/* What the hand-written references share: options, range lists, clocks, huge-page buffers, threads,
 * the statistics kernel and the JSON line that each of them prints. They use nothing of LSIO. */
#ifndef BENCH_REF_H
#define BENCH_REF_H

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define REF_PAGE 4096u
#define REF_MAX_THREADS 64u

struct ref_range {
  uint64_t offset;
  uint32_t length;
  uint32_t object;
};

struct ref_file {
  const char *path;
  uint64_t size;
  int fd;
};

__attribute__((format(printf, 1, 2), noreturn)) static inline void ref_die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
  exit(5);
}

static inline double ref_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* User and system time of the process, seconds. */
static inline double ref_cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
         1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static inline void *ref_alloc(size_t bytes) {
  void *p = malloc(bytes ? bytes : 1);
  if (!p) ref_die("out of memory (%zu bytes)", bytes);
  return p;
}

/* A populated buffer on huge pages where the system gives them; never freed. */
static inline void *ref_buffer(size_t bytes) {
  const size_t huge = 2u << 20;
  const size_t size = (bytes + huge - 1) / huge * huge;
  char *p = mmap(NULL, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) ref_die("mmap of %zu bytes: %s", size, strerror(errno));
  p = (char *)(((uintptr_t)p + huge - 1) / huge * huge);
  madvise(p, size, MADV_HUGEPAGE);
  for (size_t i = 0; i < size; i += REF_PAGE) ((volatile char *)p)[i] = 0;
  return p;
}

/* "4096", "256K" or "256KiB". */
static inline uint64_t ref_size(const char *text) {
  char *end;
  const uint64_t n = strtoull(text, &end, 10);
  switch (*end) {
    case 'k': case 'K': return n << 10;
    case 'm': case 'M': return n << 20;
    case 'g': case 'G': return n << 30;
    case 0: return n;
    default: ref_die("not a size: %s", text);
  }
}

/* --name=value or --name value; NULL when argv[*i] is another argument. */
static inline const char *ref_option(int argc, char **argv, int *i, const char *name) {
  const size_t n = strlen(name);
  if (strncmp(argv[*i], "--", 2) || strncmp(argv[*i] + 2, name, n)) return NULL;
  const char *rest = argv[*i] + 2 + n;
  if (*rest == '=') return rest + 1;
  if (*rest) return NULL;
  if (*i + 1 >= argc) ref_die("--%s needs a value", name);
  return argv[++*i];
}

static inline void ref_open(struct ref_file *files, uint32_t n, int flags) {
  for (uint32_t i = 0; i < n; ++i) {
    struct stat st;
    files[i].fd = open(files[i].path, flags | O_RDONLY | O_CLOEXEC);
    if (files[i].fd < 0 || fstat(files[i].fd, &st)) {
      ref_die("%s: %s", files[i].path, strerror(errno));
    }
    files[i].size = (uint64_t)st.st_size;
  }
}

/* All of a file, for as long as the process lives. */
static inline char *ref_read_file(const char *path, size_t *length) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) ref_die("%s: %s", path, strerror(errno));
  char *text = ref_alloc((size_t)st.st_size);
  if (read(fd, text, (size_t)st.st_size) != st.st_size) ref_die("%s: short read", path);
  close(fd);
  *length = (size_t)st.st_size;
  return text;
}

/* A .npy of little-endian int64 and shape (N,3): object, offset, length. */
static inline struct ref_range *ref_load_ranges(const char *path, uint64_t *n) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st)) ref_die("%s: %s", path, strerror(errno));
  char *m = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (m == MAP_FAILED || st.st_size < 128 || memcmp(m, "\x93NUMPY\x01", 7)) {
    ref_die("%s: not a version 1 .npy", path);
  }
  const size_t head = 10u + (unsigned char)m[8] + 256u * (unsigned char)m[9];
  if (!memmem(m, head, "'<i8'", 5) || memmem(m, head, "'fortran_order': True", 21)) {
    ref_die("%s: wants int64 in C order", path);
  }
  const int64_t *v = (const int64_t *)(m + head);
  *n = ((uint64_t)st.st_size - head) / 24;
  struct ref_range *r = ref_alloc(*n * sizeof *r);
  for (uint64_t i = 0; i < *n; ++i) {
    r[i] = (struct ref_range){.object = (uint32_t)v[3 * i], .offset = (uint64_t)v[3 * i + 1],
                              .length = (uint32_t)v[3 * i + 2]};
  }
  munmap(m, (size_t)st.st_size);
  close(fd);
  return r;
}

/* Every file cut into blocks, in order. */
static inline struct ref_range *ref_cut(const struct ref_file *files, uint32_t n_files,
                                        uint64_t block, uint64_t *n) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < n_files; ++i) count += (files[i].size + block - 1) / block;
  struct ref_range *r = ref_alloc(count * sizeof *r);
  uint64_t k = 0;
  for (uint32_t i = 0; i < n_files; ++i) {
    for (uint64_t at = 0; at < files[i].size; at += block) {
      const uint64_t left = files[i].size - at;
      r[k++] = (struct ref_range){.object = i, .offset = at,
                                  .length = (uint32_t)(left < block ? left : block)};
    }
  }
  *n = count;
  return r;
}

static inline void ref_check_ranges(const struct ref_range *r, uint64_t n,
                                    const struct ref_file *files, uint32_t n_files) {
  for (uint64_t i = 0; i < n; ++i) {
    if (r[i].object >= n_files || r[i].offset + r[i].length > files[r[i].object].size) {
      ref_die("range %" PRIu64 " does not lie within its file", i);
    }
  }
}

/* Runs body in n threads and waits for them. `contexts` is an array of n contexts of `size` bytes. */
static inline void ref_threads(uint32_t n, void *(*body)(void *), void *contexts, size_t size) {
  pthread_t thread[REF_MAX_THREADS];
  for (uint32_t i = 1; i < n; ++i) {
    if (pthread_create(&thread[i], NULL, body, (char *)contexts + i * size)) ref_die("no thread");
  }
  body(contexts);
  for (uint32_t i = 1; i < n; ++i) pthread_join(thread[i], NULL);
}

/* Statistics of float32, the sum in double. */
struct ref_stats {
  double sum;
  float min, max;
  uint64_t n, above;
};

static inline struct ref_stats ref_stats_zero(void) {
  return (struct ref_stats){.min = INFINITY, .max = -INFINITY};
}

static inline void ref_stats_merge(struct ref_stats *a, const struct ref_stats *b) {
  a->sum += b->sum;
  a->min = b->min < a->min ? b->min : a->min;
  a->max = b->max > a->max ? b->max : a->max;
  a->n += b->n;
  a->above += b->above;
}

/* Sum, min, max and the count above `t` in one pass. Any alignment. */
static inline void ref_stats_add(struct ref_stats *s, const float *x, uint64_t n, float t) {
  uint64_t i = 0;
#if defined(__AVX512F__)
  __m512d sum[4] = {_mm512_setzero_pd(), _mm512_setzero_pd(), _mm512_setzero_pd(),
                    _mm512_setzero_pd()};
  __m512 min0 = _mm512_set1_ps(s->min), max0 = _mm512_set1_ps(s->max);
  __m512 min1 = min0, max1 = max0;
  const __m512 vt = _mm512_set1_ps(t);
  uint64_t above = 0;
  for (; i + 32 <= n; i += 32) {
    const __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + 16);
    sum[0] = _mm512_add_pd(sum[0], _mm512_cvtps_pd(_mm512_castps512_ps256(a)));
    sum[1] = _mm512_add_pd(sum[1], _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)));
    sum[2] = _mm512_add_pd(sum[2], _mm512_cvtps_pd(_mm512_castps512_ps256(b)));
    sum[3] = _mm512_add_pd(sum[3], _mm512_cvtps_pd(_mm512_extractf32x8_ps(b, 1)));
    min0 = _mm512_min_ps(a, min0);
    max0 = _mm512_max_ps(a, max0);
    min1 = _mm512_min_ps(b, min1);
    max1 = _mm512_max_ps(b, max1);
    above += (unsigned)__builtin_popcount(
        (unsigned)_mm512_cmp_ps_mask(a, vt, _CMP_GT_OQ) |
        (unsigned)_mm512_cmp_ps_mask(b, vt, _CMP_GT_OQ) << 16);
  }
  s->sum += _mm512_reduce_add_pd(_mm512_add_pd(_mm512_add_pd(sum[0], sum[1]),
                                               _mm512_add_pd(sum[2], sum[3])));
  s->min = _mm512_reduce_min_ps(_mm512_min_ps(min0, min1));
  s->max = _mm512_reduce_max_ps(_mm512_max_ps(max0, max1));
  s->above += above;
#else
  double sum[16] = {0};
  float min[16], max[16];
  uint32_t above[16];
  for (int j = 0; j < 16; ++j) min[j] = s->min, max[j] = s->max;
  while (i + 16 <= n) {
    const uint64_t stop = n - i > (1u << 20) ? i + (1u << 20) : n;
    memset(above, 0, sizeof above);
    for (; i + 16 <= stop; i += 16) {
      for (int j = 0; j < 16; ++j) {
        const float v = x[i + (uint64_t)j];
        sum[j] += (double)v;
        min[j] = v < min[j] ? v : min[j];
        max[j] = v > max[j] ? v : max[j];
        above[j] += v > t;
      }
    }
    for (int j = 0; j < 16; ++j) s->above += above[j];
  }
  for (int j = 0; j < 16; ++j) {
    s->sum += sum[j];
    s->min = min[j] < s->min ? min[j] : s->min;
    s->max = max[j] > s->max ? max[j] : s->max;
  }
#endif
  for (; i < n; ++i) {
    s->sum += (double)x[i];
    s->min = x[i] < s->min ? x[i] : s->min;
    s->max = x[i] > s->max ? x[i] : s->max;
    s->above += x[i] > t;
  }
  s->n += n;
}

/* One JSON object on stdout; `more` is NULL or more members, with a leading comma. */
static inline void ref_print(double wall, double cpu, uint64_t ops, uint64_t bytes,
                             const char *more) {
  printf("{\"wall_s\": %.6f, \"cpu_s\": %.6f, \"ops\": %" PRIu64 ", \"bytes\": %" PRIu64 "%s}\n",
         wall, cpu, ops, bytes, more ? more : "");
}

static inline void ref_show_stats(const struct ref_stats *s, char *text, size_t cap) {
  snprintf(text, cap,
           ", \"sum\": %.17g, \"min\": %.9g, \"max\": %.9g, \"n\": %" PRIu64 ", \"above\": %" PRIu64,
           s->sum, (double)s->min, (double)s->max, s->n, s->above);
}

static inline void ref_print_stats(double wall, double cpu, uint64_t ops, uint64_t bytes,
                                   const struct ref_stats *s) {
  char more[256];
  ref_show_stats(s, more, sizeof more);
  ref_print(wall, cpu, ops, bytes, more);
}

static inline double ref_sum(const float *x, uint64_t n) {
  double sum[8] = {0};
  for (uint64_t i = 0; i < n; ++i) sum[i % 8] += (double)x[i];
  for (int i = 1; i < 8; ++i) sum[0] += sum[i];
  return sum[0];
}

#endif
