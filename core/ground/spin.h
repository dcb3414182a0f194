/* Waiting awake for what is about to happen: where the processor halts meanwhile, a thread that sleeps is
 * woken some 50 us late, which is more than a small job takes in all. */
#ifndef LSI_SPIN_H
#define LSI_SPIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LSI_SPIN_NS 200000u /* as long as a small job with all its sleeps, or it would go on sleeping */

/* One kind of wait. It is spent awake, for so long at most, if the last one of its kind was short: else that
 * would only take the processor from others. */
struct lsi_spin {
  uint32_t ns; /* 0: never */
  atomic_bool soon;
};

static inline bool lsi_spin_pays(const struct lsi_spin *s) {
  return atomic_load_explicit(&s->soon, memory_order_relaxed);
}

/* It took so long, awake or asleep: with as much again for waking up that would have been soon. */
static inline void lsi_spin_took(struct lsi_spin *s, uint64_t ns) {
  atomic_store_explicit(&s->soon, ns < 2u * (uint64_t)s->ns, memory_order_relaxed);
}

static inline void lsi_spin_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
