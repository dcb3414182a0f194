/* Which level of the vector kernels runs here. */
#include "kernels/kernels.h"

#include <stdatomic.h>
#include <string.h>

#include "ground/types.h"

_Static_assert(LSI_TYPE_COUNT == 10 && LSI_U64 == 7 && LSI_F64 == 9,
               "kernels.h counts on this order");

#if defined(__x86_64__)
static bool runs_v2(void) {
  return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
         __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
}

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
static bool runs_v3(void) { return __builtin_cpu_supports("x86-64-v3"); }
static bool runs_v4(void) { return __builtin_cpu_supports("x86-64-v4"); }
#else
static bool runs_v3(void) {
  return runs_v2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("fma");
}
static bool runs_v4(void) {
  return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif
#else
static bool runs_base(void) { return true; }
#endif

/* Best first. */
static const struct {
  const struct lsi_kernels *kernels;
  bool (*runs)(void);
} levels[] = {
#if defined(__x86_64__)
    {&lsi_kernels_v4, runs_v4},
    {&lsi_kernels_v3, runs_v3},
    {&lsi_kernels_v2, runs_v2},
#else
    {&lsi_kernels_base, runs_base},
#endif
};

/* NULL: not yet looked for, or there is none. */
static _Atomic(const struct lsi_kernels *) chosen;

static const struct lsi_kernels *best(const char *level) {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  for (size_t i = 0; i < LSI_COUNTOF(levels); i++)
    if ((!level || strcmp(level, levels[i].kernels->level) == 0) && levels[i].runs())
      return levels[i].kernels;
  return NULL;
}

const struct lsi_kernels *lsi_kernels(void) {
  const struct lsi_kernels *k = atomic_load_explicit(&chosen, memory_order_acquire);
  if (k)
    return k;
  const struct lsi_kernels *found = best(NULL);
  /* lsi_kernels_use_level may have been faster: then its choice stands. */
  return atomic_compare_exchange_strong(&chosen, &k, found) ? found : k;
}

const char *lsi_kernels_level(void) {
  const struct lsi_kernels *k = lsi_kernels();
  return k ? k->level : "none";
}

bool lsi_kernels_use_level(const char *level) {
  const struct lsi_kernels *k = best(level);
  if (!k)
    return false;
  atomic_store_explicit(&chosen, k, memory_order_release);
  return true;
}
