/* Sorting steps by place. A radix sort over 64-bit words that hold as much of the key as fits beside
 * the index: a request of a million ranges in a few files needs one stage of two or three passes, and
 * moves 8 bytes an entry in each. */
#include "ground/radix.h"
#include "plan/plan_impl.h"

enum field { FIELD_OFFSET, FIELD_OBJECT, FIELD_DEVICE };

struct shape {
  unsigned zero_bits;   /* low bits of offset that are 0 in all */
  unsigned bits[3];     /* by enum field, of offset without its zero bits */
  bool sorted;
};

struct source {
  const struct lsi_request *r;
  const uint32_t *first;
  const uint16_t *device;
};

static unsigned bit_length(uint64_t x) { return x ? 64u - (unsigned)__builtin_clzll(x) : 0; }

static struct shape look(const struct source *s, uint32_t n) {
  uint64_t any = 0, last_offset = 0;
  uint32_t max_object = 0, last_object = 0;
  uint16_t max_device = 0, last_device = 0;
  bool sorted = true;
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t c = s->first ? s->first[i] : i;
    const uint64_t offset = s->r->offset[c];
    const uint32_t object = s->r->object[c];
    const uint16_t device = s->device ? s->device[object] : 0;
    any |= offset;
    max_object = LSI_MAX(max_object, object);
    max_device = LSI_MAX(max_device, device);
    sorted &= device > last_device ||
              (device == last_device &&
               (object > last_object || (object == last_object && offset >= last_offset)));
    last_offset = offset;
    last_object = object;
    last_device = device;
  }
  struct shape shape = {.sorted = sorted};
  shape.zero_bits = any ? (unsigned)__builtin_ctzll(any) : 0;
  shape.bits[FIELD_OFFSET] = bit_length(any >> shape.zero_bits);
  shape.bits[FIELD_OBJECT] = bit_length(max_object);
  shape.bits[FIELD_DEVICE] = bit_length(max_device);
  return shape;
}

static uint64_t field_of(const struct source *s, const struct shape *shape, uint32_t i,
                         enum field field) {
  const uint32_t c = s->first ? s->first[i] : i;
  switch (field) {
  case FIELD_OFFSET:
    return s->r->offset[c] >> shape->zero_bits;
  case FIELD_OBJECT:
    return s->r->object[c];
  default:
    return s->device ? s->device[s->r->object[c]] : 0;
  }
}

static void one_stage(const struct source *s, const struct shape *shape, uint32_t n,
                      unsigned index_bits, uint64_t *a, uint32_t *order) {
  const unsigned bits_o = shape->bits[FIELD_OFFSET], bits_j = shape->bits[FIELD_OBJECT];
  const unsigned bits = bits_o + bits_j + shape->bits[FIELD_DEVICE];
  for (uint32_t i = 0; i < n; i++) {
    const uint32_t c = s->first ? s->first[i] : i;
    const uint32_t object = s->r->object[c];
    uint64_t key = s->device && shape->bits[FIELD_DEVICE] ? s->device[object] : 0;
    key = bits_j ? key << bits_j | object : key;
    key = bits_o ? key << bits_o | s->r->offset[c] >> shape->zero_bits : key;
    a[i] = key << index_bits | i;
  }
  const uint64_t *sorted = lsi_radix_sort(a, a + n, n, index_bits, bits);
  const uint64_t mask = (UINT64_C(1) << index_bits) - 1;
  for (uint32_t i = 0; i < n; i++) order[i] = (uint32_t)(sorted[i] & mask);
}

/* The key does not fit beside the index: from its lowest part up, a stage for each. */
static void many_stages(const struct source *s, const struct shape *shape, uint32_t n,
                        unsigned index_bits, uint64_t *a, uint32_t *order) {
  const unsigned room = 64 - index_bits;
  const uint64_t mask = (UINT64_C(1) << index_bits) - 1;
  for (uint32_t i = 0; i < n; i++) order[i] = i;
  for (int field = FIELD_OFFSET; field <= FIELD_DEVICE; field++) {
    for (unsigned done = 0; done < shape->bits[field]; done += room) {
      const unsigned bits = LSI_MIN(room, shape->bits[field] - done);
      for (uint32_t i = 0; i < n; i++) {
        uint64_t part = field_of(s, shape, order[i], (enum field)field) >> done;
        if (bits < 64) part &= (UINT64_C(1) << bits) - 1;
        a[i] = part << index_bits | order[i];
      }
      const uint64_t *sorted = lsi_radix_sort(a, a + n, n, index_bits, bits);
      for (uint32_t i = 0; i < n; i++) order[i] = (uint32_t)(sorted[i] & mask);
    }
  }
}

void lsi_plan_sort(const struct lsi_request *r, uint32_t n, const uint32_t *first,
                   const uint16_t *device, void *scratch, uint32_t *order) {
  const struct source s = {r, first, device};
  const struct shape shape = look(&s, n);
  if (shape.sorted) {
    for (uint32_t i = 0; i < n; i++) order[i] = i;
    return;
  }
  const unsigned index_bits = bit_length(n - 1);
  const unsigned bits =
      shape.bits[FIELD_OFFSET] + shape.bits[FIELD_OBJECT] + shape.bits[FIELD_DEVICE];
  (bits + index_bits <= 64 ? one_stage : many_stages)(&s, &shape, n, index_bits, scratch, order);
}
