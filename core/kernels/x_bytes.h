/* Kernels on plain bytes: find, count_bytes, crc32c, copy. */

/* Positions of `first` with `last` `gap` bytes behind, among the VW that start at p: a bit each. */
#if VW == 64
INLINE uint64_t ends_mask(const u8_mem *p, size_t gap, uint8_t first, uint8_t last) {
  __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + gap);
  return _mm512_cmpeq_epi8_mask(a, _mm512_set1_epi8((char)first)) &
         _mm512_cmpeq_epi8_mask(b, _mm512_set1_epi8((char)last));
}
#elif VW == 32
INLINE uint64_t ends_mask(const u8_mem *p, size_t gap, uint8_t first, uint8_t last) {
  __m256i a = _mm256_loadu_si256((const __m256i *)p);
  __m256i b = _mm256_loadu_si256((const __m256i *)(p + gap));
  a = _mm256_cmpeq_epi8(a, _mm256_set1_epi8((char)first));
  b = _mm256_cmpeq_epi8(b, _mm256_set1_epi8((char)last));
  return (uint32_t)_mm256_movemask_epi8(_mm256_and_si256(a, b));
}
#elif defined(__SSE2__)
INLINE uint64_t ends_mask(const u8_mem *p, size_t gap, uint8_t first, uint8_t last) {
  __m128i a = _mm_loadu_si128((const __m128i *)p);
  __m128i b = _mm_loadu_si128((const __m128i *)(p + gap));
  a = _mm_cmpeq_epi8(a, _mm_set1_epi8((char)first));
  b = _mm_cmpeq_epi8(b, _mm_set1_epi8((char)last));
  return (uint32_t)_mm_movemask_epi8(_mm_and_si128(a, b));
}
#else
INLINE uint64_t ends_mask(const u8_mem *p, size_t gap, uint8_t first, uint8_t last) {
  uint64_t mask = 0;
  for (int i = 0; i < VW; i++)
    mask |= (uint64_t)(p[i] == first && p[gap + (size_t)i] == last) << i;
  return mask;
}
#endif

/* The first match, or NULL. 2 <= m <= n. Candidates are compared in full only while that stays
 * cheap against the bytes passed; a text made of near misses goes to the C library's linear
 * search. */
static const u8_mem *search(const u8_mem *p, size_t n, const u8_mem *needle, size_t m) {
  const size_t gap = m - 1;
  size_t i = 0, work = 0;
  for (; n - i >= gap + VW; i += VW) {
    uint64_t mask = ends_mask(p + i, gap, needle[0], needle[gap]);
    for (; mask != 0; mask &= mask - 1) {
      const u8_mem *at = p + i + __builtin_ctzll(mask);
      if (memcmp(at + 1, needle + 1, m - 2) == 0)
        return at;
      work += m;
    }
    if (work > 4096 + 4 * i)
      break;
  }
  return n - i < m ? NULL : memmem(p + i, n - i, needle, m);
}

static double find(const void *src, size_t n, const void *needle, size_t m) {
  if (m == 0)
    return 0;
  if (m > n)
    return -1;
  const u8_mem *at = m == 1 ? memchr(src, *(const u8_mem *)needle, n) : search(src, n, needle, m);
  return at ? (double)(at - (const u8_mem *)src) : -1;
}

static double count_bytes(const void *src, size_t n, const void *needle, size_t m) {
  const u8_mem *p = src;
  if (m == 0)
    return 0;
  if (m == 1) {
    uint8_t byte = *(const u8_mem *)needle;
    return (double)count_u8(src, n, byte, byte);
  }
  double count = 0;
  while (n >= m) {
    const u8_mem *at = search(p, n, needle, m);
    if (!at)
      break;
    count += 1;
    n -= (size_t)(at - p) + m;
    p = at + m;
  }
  return count;
}

#if defined(__SSE4_2__) && defined(__x86_64__)
/* The instruction takes a word a cycle but needs three to answer, so three streams run side by
 * side and are joined: a CRC moves over CRC_STREAM zero bytes by a linear map, here as the
 * images of its bits. */
#define CRC_STREAM 4096
static const uint32_t crc_advance_bits[32] = {
    0xc2a5b65eu, 0x80a71a4du, 0x04a2426bu, 0x094484d6u, 0x128909acu, 0x25121358u,
    0x4a2426b0u, 0x94484d60u, 0x2d7cec31u, 0x5af9d862u, 0xb5f3b0c4u, 0x6e0b1779u,
    0xdc162ef2u, 0xbdc02b15u, 0x7e6c20dbu, 0xfcd841b6u, 0xfc5cf59du, 0xfd559dcbu,
    0xff474d67u, 0xfb62ec3fu, 0xf329ae8fu, 0xe3bf2befu, 0xc292212fu, 0x80c834afu,
    0x047c1fafu, 0x08f83f5eu, 0x11f07ebcu, 0x23e0fd78u, 0x47c1faf0u, 0x8f83f5e0u,
    0x1aeb9d31u, 0x35d73a62u,
};

INLINE uint32_t crc_advance(uint32_t crc) {
  uint32_t out = 0;
  for (int i = 0; i < 32; i++)
    out ^= crc_advance_bits[i] & (0u - (crc >> i & 1));
  return out;
}

static uint32_t crc32c(uint32_t crc, const void *src, size_t n) {
  const u8_mem *p = src;
  uint64_t a = ~crc;
  for (; n >= 3 * CRC_STREAM; n -= 3 * CRC_STREAM, p += 3 * CRC_STREAM) {
    uint64_t b = 0, c = 0;
    for (size_t i = 0; i < CRC_STREAM; i += 8) {
      a = _mm_crc32_u64(a, *(const u64_mem *)(p + i));
      b = _mm_crc32_u64(b, *(const u64_mem *)(p + CRC_STREAM + i));
      c = _mm_crc32_u64(c, *(const u64_mem *)(p + 2 * CRC_STREAM + i));
    }
    a = crc_advance(crc_advance((uint32_t)a) ^ (uint32_t)b) ^ c;
  }
  for (; n >= 8; n -= 8, p += 8)
    a = _mm_crc32_u64(a, *(const u64_mem *)p);
  uint32_t s = (uint32_t)a;
  for (; n > 0; n--, p++)
    s = _mm_crc32_u8(s, *p);
  return ~s;
}
#else
static uint32_t crc32c(uint32_t crc, const void *src, size_t n) {
  return lsi_crc32c_soft(crc, src, n);
}
#endif

#if defined(__SSE2__)
static void copy_stream(const u8_mem *p, size_t n, u8_mem *q) {
  size_t head = LSI_MIN(n, (size_t)(-(uintptr_t)q % VW));
  memcpy(q, p, head);
  size_t i = head;
  for (; n - i >= 4 * VW; i += 4 * VW)
    for (size_t k = 0; k < 4 * VW; k += VW) {
#if VW == 64
      _mm512_stream_si512((void *)(q + i + k), _mm512_loadu_si512(p + i + k));
#elif VW == 32
      _mm256_stream_si256((__m256i *)(q + i + k), _mm256_loadu_si256((const __m256i *)(p + i + k)));
#else
      _mm_stream_si128((__m128i *)(q + i + k), _mm_loadu_si128((const __m128i *)(p + i + k)));
#endif
    }
  _mm_sfence();
  memcpy(q + i, p + i, n - i);
}
#endif

static void copy(const void *src, size_t n, void *dst, bool stream) {
#if defined(__SSE2__)
  if (stream && n >= 4096 && dst != src) {
    copy_stream(src, n, dst);
    return;
  }
#endif
  (void)stream;
  copy_plain(src, n, dst);
}
