/* Reference: float32 * 2 + 1, placed in a populated array. */
#include "ref_job.h"

static void step(void *state, const char *data, size_t n, char *place) {
  (void)state;
  const float *x = (const float *)data;
  float *out = (float *)place;
  size_t i = 0;
  n /= 4;
#if defined(__AVX512F__)
  const __m512 scale = _mm512_set1_ps(2), offset = _mm512_set1_ps(1);
  for (; i < n && (uintptr_t)(out + i) % 64; ++i) out[i] = x[i] * 2 + 1;
  for (; i + 32 <= n; i += 32) {
    const __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + 16);
    _mm512_stream_ps(out + i, _mm512_fmadd_ps(a, scale, offset));
    _mm512_stream_ps(out + i + 16, _mm512_fmadd_ps(b, scale, offset));
  }
  _mm_sfence();
#endif
  for (; i < n; ++i) out[i] = x[i] * 2 + 1;
}

static void merge(void *into, const void *from) { (void)into, (void)from; }

int main(int argc, char **argv) {
  static const struct ref_job job = {"ref_scale", "float32 * 2 + 1 in a populated array", 1, NULL,
                                     step, merge, NULL, 1};
  return ref_job_main(&job, argc, argv);
}
