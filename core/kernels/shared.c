/* What the vector kernels of all levels call or look at, once in the program. It knows none of them. */
#include <math.h>

#include "kernels/kernels.h"

_Thread_local struct lsi_nontemporal lsi_nontemporal;

void lsi_kernels_nontemporal(const void *begin, size_t bytes) {
  lsi_nontemporal = (struct lsi_nontemporal){(uintptr_t)begin, bytes};
}

/* Which operand's payload a NaN keeps is up to the compiler; callers compare results by their
 * bits. */
static double canonical(double x) { return x == x ? x : (double)NAN; }

void lsi_moments_merge(lsio_moments *into, const lsio_moments *from) {
  if (from->n == 0)
    return;
  if (into->n == 0) {
    *into = *from;
    return;
  }
  double n = into->n + from->n;
  double delta = from->mean - into->mean;
  double part = from->n / n;
  into->mean = canonical(into->mean + delta * part);
  into->m2 = canonical(into->m2 + (from->m2 + delta * delta * (into->n * part)));
  into->n = n;
}
