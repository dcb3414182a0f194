/* transpose, shuffle, unshuffle, copy_strided. */

/* Interleaving lanes of register i with those of register i + half, for all i, rotates the bits of
 * (register, lane) by one place. As many rounds as a lane's number has bits exchange register and
 * lane, which is a transposition; other numbers of rounds give shuffle and unshuffle. */
#if defined(__SSE2__)
#define INTERLEAVE(bits, unpack)                                              \
  INLINE void interleave_##bits(__m128i *v, int count, int rounds) {          \
    for (int r = 0; r < rounds; r++) {                                        \
      __m128i t[16];                                                          \
      for (int i = 0; i < count / 2; i++) {                                   \
        t[2 * i] = _mm_unpacklo_epi##unpack(v[i], v[i + count / 2]);          \
        t[2 * i + 1] = _mm_unpackhi_epi##unpack(v[i], v[i + count / 2]);      \
      }                                                                       \
      for (int i = 0; i < count; i++)                                         \
        v[i] = t[i];                                                          \
    }                                                                         \
  }
INTERLEAVE(8, 8)
INTERLEAVE(16, 16)
INTERLEAVE(32, 32)
INTERLEAVE(64, 64)
#define TILE_ROUNDS(L) (L == 16 ? 4 : L == 8 ? 3 : L == 4 ? 2 : 1)
#define TILE(bits)                                                                              \
  INLINE void tile_##bits(const u##bits##_mem *p, size_t from, u##bits##_mem *q, size_t to) {   \
    enum { L = 128 / bits };                                                                    \
    __m128i v[16];                                                                              \
    for (int i = 0; i < L; i++)                                                                 \
      v[i] = _mm_loadu_si128((const __m128i *)(p + (size_t)i * from));                          \
    interleave_##bits(v, L, TILE_ROUNDS(L));                                                    \
    for (int i = 0; i < L; i++)                                                                 \
      _mm_storeu_si128((__m128i *)(q + (size_t)i * to), v[i]);                                  \
  }
#else
#define TILE(bits)                                                                              \
  INLINE void tile_##bits(const u##bits##_mem *p, size_t from, u##bits##_mem *q, size_t to) {   \
    enum { L = 128 / bits };                                                                    \
    for (size_t i = 0; i < L; i++)                                                              \
      for (size_t j = 0; j < L; j++)                                                            \
        q[i * to + j] = p[j * from + i];                                                        \
  }
#endif

/* Four tiles by four: whole lines of 64 bytes are read and written while they are near. */
#define TRANSPOSE(bits)                                                                      \
  TILE(bits)                                                                                 \
  static void transpose_##bits(const void *src, size_t rows, size_t cols, void *dst) {       \
    enum { L = 128 / bits };                                                                 \
    const u##bits##_mem *p = src;                                                            \
    u##bits##_mem *q = dst;                                                                  \
    const size_t whole_rows = rows / L * L, whole_cols = cols / L * L;                       \
    for (size_t r0 = 0; r0 < whole_rows; r0 += 4 * L)                                        \
      for (size_t c0 = 0; c0 < whole_cols; c0 += 4 * L)                                      \
        for (size_t c = c0; c < LSI_MIN(c0 + 4 * L, whole_cols); c += L)                     \
          for (size_t r = r0; r < LSI_MIN(r0 + 4 * L, whole_rows); r += L)                   \
            tile_##bits(p + r * cols + c, cols, q + c * rows + r, rows);                     \
    for (size_t r = 0; r < rows; r++)                                                        \
      for (size_t c = r < whole_rows ? whole_cols : 0; c < cols; c++)                        \
        q[c * rows + r] = p[r * cols + c];                                                   \
  }
TRANSPOSE(8)
TRANSPOSE(16)
TRANSPOSE(32)
TRANSPOSE(64)

static void transpose(const void *src, size_t rows, size_t cols, void *dst, size_t size) {
  if (size == 1)
    transpose_8(src, rows, cols, dst);
  else if (size == 2)
    transpose_16(src, rows, cols, dst);
  else if (size == 4)
    transpose_32(src, rows, cols, dst);
  else
    transpose_64(src, rows, cols, dst);
}

/* Of 16 items at a time, for sizes 2, 4, 8 and 16. Returns how many items are done. */
#if defined(__SSE2__)
INLINE size_t shuffle_items(const u8_mem *p, size_t items, u8_mem *q, int size) {
  size_t i = 0;
  for (; i + 16 <= items; i += 16) {
    __m128i v[16];
    for (int k = 0; k < size; k++)
      v[k] = _mm_loadu_si128((const __m128i *)(p + i * (size_t)size + (size_t)k * 16));
    interleave_8(v, size, 4);
    for (int k = 0; k < size; k++)
      _mm_storeu_si128((__m128i *)(q + (size_t)k * items + i), v[k]);
  }
  return i;
}
INLINE size_t unshuffle_items(const u8_mem *p, size_t items, u8_mem *q, int size, int rounds) {
  size_t i = 0;
  for (; i + 16 <= items; i += 16) {
    __m128i v[16];
    for (int k = 0; k < size; k++)
      v[k] = _mm_loadu_si128((const __m128i *)(p + (size_t)k * items + i));
    interleave_8(v, size, rounds);
    for (int k = 0; k < size; k++)
      _mm_storeu_si128((__m128i *)(q + i * (size_t)size + (size_t)k * 16), v[k]);
  }
  return i;
}
static size_t shuffle_fast(const void *src, size_t items, void *dst, size_t size) {
  return size == 2 ? shuffle_items(src, items, dst, 2) : size == 4 ? shuffle_items(src, items, dst, 4)
       : size == 8 ? shuffle_items(src, items, dst, 8) : size == 16 ? shuffle_items(src, items, dst, 16)
                                                                    : 0;
}
static size_t unshuffle_fast(const void *src, size_t items, void *dst, size_t size) {
  return size == 2    ? unshuffle_items(src, items, dst, 2, 1)
         : size == 4  ? unshuffle_items(src, items, dst, 4, 2)
         : size == 8  ? unshuffle_items(src, items, dst, 8, 3)
         : size == 16 ? unshuffle_items(src, items, dst, 16, 4)
                      : 0;
}
#else
#define shuffle_fast(src, items, dst, size) 0
#define unshuffle_fast(src, items, dst, size) 0
#endif

static void shuffle(const void *src, size_t bytes, void *dst, size_t size) {
  const u8_mem *p = src;
  u8_mem *q = dst;
  const size_t items = bytes / size, whole = items * size;
  const size_t done = shuffle_fast(src, items, dst, size);
  for (size_t k = 0; k < size; k++)
    for (size_t i = done; i < items; i++)
      q[k * items + i] = p[i * size + k];
  for (size_t i = whole; i < bytes; i++)
    q[i] = p[i];
}

static void unshuffle(const void *src, size_t bytes, void *dst, size_t size) {
  const u8_mem *p = src;
  u8_mem *q = dst;
  const size_t items = bytes / size, whole = items * size;
  const size_t done = unshuffle_fast(src, items, dst, size);
  for (size_t k = 0; k < size; k++)
    for (size_t i = done; i < items; i++)
      q[i * size + k] = p[k * items + i];
  for (size_t i = whole; i < bytes; i++)
    q[i] = p[i];
}
