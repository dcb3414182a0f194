/* Reference: int16 -> float32 / 1024, placed in a populated array. */
#include "ref_job.h"

static void step(void *state, const char *data, size_t n, char *place) {
  (void)state;
  const int16_t *x = (const int16_t *)data;
  float *out = (float *)place;
  size_t i = 0;
  n /= 2;
#if defined(__AVX512F__)
  /* The array is larger than any cache and not read again here: stores around the caches. */
  const __m512 scale = _mm512_set1_ps(1.0f / 1024);
  for (; i < n && (uintptr_t)(out + i) % 64; ++i) out[i] = (float)x[i] * (1.0f / 1024);
  for (; i + 32 <= n; i += 32) {
    const __m256i a = _mm256_loadu_si256((const void *)(x + i));
    const __m256i b = _mm256_loadu_si256((const void *)(x + i + 16));
    const __m512 fa = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(a));
    const __m512 fb = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(b));
    _mm512_stream_ps(out + i, _mm512_mul_ps(fa, scale));
    _mm512_stream_ps(out + i + 16, _mm512_mul_ps(fb, scale));
  }
  _mm_sfence();
#endif
  for (; i < n; ++i) out[i] = (float)x[i] * (1.0f / 1024);
}

static void merge(void *into, const void *from) { (void)into, (void)from; }

int main(int argc, char **argv) {
  static const struct ref_job job = {"ref_i16", "int16 to float32 / 1024 in a populated array", 1,
                                     NULL, step, merge, NULL, 2};
  return ref_job_main(&job, argc, argv);
}
