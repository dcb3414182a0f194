/* Reference: sum, minimum, maximum and count above 0.5 of float32. */
#include "ref_job.h"

static void begin(void *state) { *(struct ref_stats *)state = ref_stats_zero(); }

static void step(void *state, const char *data, size_t n, char *out) {
  (void)out;
  ref_stats_add(state, (const float *)data, n / 4, 0.5f);
}

static void merge(void *into, const void *from) { ref_stats_merge(into, from); }

static void show(const void *state, char *text, size_t cap) { ref_show_stats(state, text, cap); }

int main(int argc, char **argv) {
  static const struct ref_job job = {"ref_stats", "Sum, min, max, count above 0.5 of float32",
                                     sizeof(struct ref_stats), begin, step, merge, show, 0};
  return ref_job_main(&job, argc, argv);
}
