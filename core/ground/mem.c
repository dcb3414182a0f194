#include "ground/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_int_fast64_t live;
static atomic_uint_fast64_t calls;
static atomic_uint_fast64_t fail_at; /* value of `calls` that fails, 0 = never */
static atomic_bool fail_forever;

static bool must_fail(void) {
  uint64_t n = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
  uint64_t at = atomic_load_explicit(&fail_at, memory_order_relaxed);
  return at && (n == at || (n > at && atomic_load_explicit(&fail_forever, memory_order_relaxed)));
}

static void *counted(void *p) {
  if (p) atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
  return p;
}

void *lsi_malloc(size_t size) { return must_fail() ? NULL : counted(malloc(size ? size : 1)); }

void *lsi_calloc(size_t count, size_t size) {
  return must_fail() ? NULL : counted(calloc(count ? count : 1, size ? size : 1));
}

void *lsi_realloc(void *p, size_t size) {
  if (!p) return lsi_malloc(size);
  return must_fail() ? NULL : realloc(p, size ? size : 1);
}

void *lsi_reallocarray(void *p, size_t count, size_t size) {
  size_t bytes;
  if (lsi_mul_overflow(count, size, &bytes)) return NULL;
  return lsi_realloc(p, bytes);
}

char *lsi_strndup(const char *s, size_t n) {
  char *p = lsi_malloc(n + 1);
  if (!p) return NULL;
  memcpy(p, s, n);
  p[n] = 0;
  return p;
}

char *lsi_strdup(const char *s) { return lsi_strndup(s, strlen(s)); }

void *lsi_alloc_aligned(size_t align, size_t size) {
  size_t rounded;
  if (must_fail() || lsi_add_overflow(size, align - 1, &rounded)) return NULL;
  rounded = lsi_round_down(rounded, align);
  void *p = aligned_alloc(align, rounded ? rounded : align);
  if (p) memset(p, 0, rounded ? rounded : align);
  return counted(p);
}

void lsi_free(void *p) {
  if (!p) return;
  atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
  free(p);
}

void lsi_mem_fail_nth(uint64_t n, bool forever) {
  atomic_store(&fail_forever, forever);
  atomic_store(&fail_at, n ? atomic_load(&calls) + n : 0);
}

int64_t lsi_mem_live(void) { return atomic_load(&live); }
uint64_t lsi_mem_calls(void) { return atomic_load(&calls); }
