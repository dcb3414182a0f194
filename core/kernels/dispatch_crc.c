/* CRC-32C without any instruction for it: eight bytes a step by eight tables. Everything about a
 * CRC is linear, so a table is given by its entries for the eight single bits. */
#include "kernels/kernels.h"

#define BIT(b, i, basis) ((b) >> (i)&1 ? (basis) : 0)
#define ENTRY(b, b0, b1, b2, b3, b4, b5, b6, b7)                                                 \
  (BIT(b, 0, b0) ^ BIT(b, 1, b1) ^ BIT(b, 2, b2) ^ BIT(b, 3, b3) ^ BIT(b, 4, b4) ^ BIT(b, 5, b5) ^ \
   BIT(b, 6, b6) ^ BIT(b, 7, b7))
#define ROW4(b, ...)                                                                   \
  ENTRY(b, __VA_ARGS__), ENTRY((b) + 1, __VA_ARGS__), ENTRY((b) + 2, __VA_ARGS__),     \
      ENTRY((b) + 3, __VA_ARGS__)
#define ROW16(b, ...)                                                                  \
  ROW4(b, __VA_ARGS__), ROW4((b) + 4, __VA_ARGS__), ROW4((b) + 8, __VA_ARGS__),        \
      ROW4((b) + 12, __VA_ARGS__)
#define ROW64(b, ...)                                                                  \
  ROW16(b, __VA_ARGS__), ROW16((b) + 16, __VA_ARGS__), ROW16((b) + 32, __VA_ARGS__),   \
      ROW16((b) + 48, __VA_ARGS__)
#define TABLE(...)                                                                     \
  {ROW64(0, __VA_ARGS__), ROW64(64, __VA_ARGS__), ROW64(128, __VA_ARGS__), ROW64(192, __VA_ARGS__)}

/* crc_table[k][b]: what the byte b, followed by k zero bytes, leaves behind. */
static const uint32_t crc_table[8][256] = {
    TABLE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu,
          0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu, 0x82f63b78u),
    TABLE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u,
          0x3fc5f181u, 0x7f8be302u, 0xff17c604u, 0xfbc3faf9u),
    TABLE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u,
          0x70a27d8au, 0xe144fb14u, 0xc76580d9u, 0x8b277743u),
    TABLE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u,
          0xe964b13du, 0xd725148bu, 0xaba65fe7u, 0x52a0c93fu),
    TABLE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u,
          0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu, 0x6ea2d55cu),
    TABLE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu,
          0xc00c303eu, 0x85f4168du, 0x0e045bebu, 0x1c08b7d6u),
    TABLE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u,
          0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au, 0xf56e0ef4u),
    TABLE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau,
          0x847609b4u, 0x0d006599u, 0x1a00cb32u, 0x34019664u),
};

uint32_t lsi_crc32c_soft(uint32_t crc, const void *src, size_t n) {
  const unsigned char *p = src;
  crc = ~crc;
  for (; n >= 8; n -= 8, p += 8) {
    uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                          (uint32_t)p[3] << 24);
    crc = crc_table[7][low & 255] ^ crc_table[6][low >> 8 & 255] ^ crc_table[5][low >> 16 & 255] ^
          crc_table[4][low >> 24] ^ crc_table[3][p[4]] ^ crc_table[2][p[5]] ^ crc_table[1][p[6]] ^
          crc_table[0][p[7]];
  }
  for (; n > 0; n--, p++)
    crc = crc >> 8 ^ crc_table[0][(crc ^ *p) & 255];
  return ~crc;
}
