/* Element types: their names, sizes and byte order. */
#ifndef LSI_TYPES_H
#define LSI_TYPES_H

#include "ground/base.h"

/* X(enum, name, C type, numpy kind, size) */
#define LSI_TYPES(X)                 \
  X(I8, "i8", int8_t, 'i', 1)        \
  X(U8, "u8", uint8_t, 'u', 1)       \
  X(I16, "i16", int16_t, 'i', 2)     \
  X(U16, "u16", uint16_t, 'u', 2)    \
  X(I32, "i32", int32_t, 'i', 4)     \
  X(U32, "u32", uint32_t, 'u', 4)    \
  X(I64, "i64", int64_t, 'i', 8)     \
  X(U64, "u64", uint64_t, 'u', 8)    \
  X(F32, "f32", float, 'f', 4)       \
  X(F64, "f64", double, 'f', 8)

enum lsi_type {
#define LSI_TYPE_ENUM(e, name, ctype, kind, size) LSI_##e,
  LSI_TYPES(LSI_TYPE_ENUM)
#undef LSI_TYPE_ENUM
  LSI_TYPE_COUNT
};

struct lsi_dtype {
  uint8_t type; /* enum lsi_type */
  bool big;     /* stored big-endian */
};

/* "f32", "i16be", "<f4", ">i2", "|u1". False when it is none of these. */
bool lsi_dtype_parse(const char *text, struct lsi_dtype *out);
static inline size_t lsi_type_size(enum lsi_type type) {
  static const uint8_t sizes[] = {
#define LSI_TYPE_SIZE(e, name, ctype, kind, size) size,
      LSI_TYPES(LSI_TYPE_SIZE)
#undef LSI_TYPE_SIZE
  };
  return sizes[type];
}
const char *lsi_type_name(enum lsi_type type);
/* numpy's descr, "<f4" (">f4" when big); 4 bytes with the NUL. */
void lsi_dtype_descr(struct lsi_dtype t, char out[4]);

/* "65536", "256KiB", "1.5G", "10MB": K/M/G/T and KiB.. are powers of 1024, KB.. powers of 1000.
 * False on anything else, on a negative, on more than 2^63-1, on a fraction of a byte. */
bool lsi_size_parse(const char *text, uint64_t *out);

#endif
