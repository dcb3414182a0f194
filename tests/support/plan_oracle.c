#include "plan_oracle.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char message[512];

struct judge {
  const struct lsi_request *r;
  const struct lsi_plan_options *o;
  const struct lsi_plan *p;
  uint64_t grain;
  uint64_t *cell;       /* by object: first of its cells */
  uint32_t *planned;    /* by cell: how many extents read it */
  uint8_t *wanted;      /* by cell: does any chunk want it */
  uint32_t *step_unit;  /* by step */
  uint8_t *used;        /* by extent: does a chunk lie in it */
  uint8_t *filled;      /* by extent: a chunk that is not empty */
  uint64_t n_cells;
};

static bool wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool wrong(const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  vsnprintf(message, sizeof message, format, ap);
  va_end(ap);
  return false;
}

#define EXPECT(condition, ...) \
  do {                         \
    if (!(condition)) return wrong(__VA_ARGS__); \
  } while (0)

static uint64_t op_max_of(const struct judge *j, uint32_t object) {
  return j->p->devices[j->r->object_device[object]].op_max;
}

static bool check_shape(struct judge *j) {
  const struct lsi_plan *p = j->p;
  const struct lsi_request *r = j->r;
  EXPECT(p->unit_extent[0] == 0 && p->unit_step[0] == 0, "units do not begin at 0");
  EXPECT(p->unit_extent[p->n_units] == p->n_extents, "units do not end with the extents");
  EXPECT(p->unit_step[p->n_units] == r->n_steps, "units do not end with the steps");
  memset(j->step_unit, 0xff, (r->n_steps + 1) * sizeof *j->step_unit);
  for (uint32_t u = 0; u < p->n_units; u++) {
    EXPECT(p->unit_extent[u] < p->unit_extent[u + 1], "unit %u has no extent", u);
    EXPECT(p->unit_step[u] < p->unit_step[u + 1], "unit %u has no step", u);
    for (uint32_t k = p->unit_step[u]; k < p->unit_step[u + 1]; k++) {
      const uint32_t step = p->step_order[k];
      EXPECT(step < r->n_steps, "step %u does not exist", step);
      EXPECT(j->step_unit[step] == UINT32_MAX, "step %u is in two units", step);
      j->step_unit[step] = u;
    }
  }
  return true;
}

static bool check_chunks(struct judge *j) {
  const struct lsi_plan *p = j->p;
  const struct lsi_request *r = j->r;
  for (uint32_t s = 0; s < r->n_steps; s++) {
    const uint32_t u = j->step_unit[s];
    for (uint32_t c = lsi_request_chunk_begin(r, s); c < lsi_request_chunk_end(r, s); c++) {
      const uint64_t begin = r->offset[c], end = begin + r->length[c];
      const uint32_t e = lsi_plan_find_extent(p, u, r->object[c], begin, r->length[c]);
      EXPECT(e >= p->unit_extent[u] && e < p->unit_extent[u + 1], "chunk %u has no extent", c);
      const struct lsi_extent x = p->extents[e];
      EXPECT(x.object == r->object[c] && x.offset <= begin && end <= x.offset + x.length,
             "chunk %u does not lie in its extent", c);
      if (j->o->merge == LSI_MERGE_NEVER)
        EXPECT(x.offset == begin && x.length == r->length[c], "chunk %u is not apart", c);
      j->used[e] = 1;
      j->filled[e] |= r->length[c] != 0;
      for (uint64_t b = begin / j->grain; b < end / j->grain; b++)
        j->wanted[j->cell[r->object[c]] + b] = 1;
    }
  }
  return true;
}

/* Bytes of the extents that a step would have alone: its hull in each object is the most. */
static uint64_t step_alone(const struct judge *j, uint32_t step) {
  const struct lsi_request *r = j->r;
  const uint32_t begin = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
  uint64_t sum = 0;
  for (uint32_t object = 0; object < r->n_objects; object++) {
    uint64_t lo = UINT64_MAX, hi = 0;
    for (uint32_t c = begin; c < end; c++) {
      if (r->object[c] != object) continue;
      lo = LSI_MIN(lo, r->offset[c]);
      hi = LSI_MAX(hi, r->offset[c] + r->length[c]);
    }
    if (lo < hi) sum += hi - lo;
  }
  return sum;
}

/* Holes that no chunk of the unit wants, in one extent. */
static bool check_holes(const struct judge *j, uint32_t u, uint32_t e) {
  const struct lsi_plan *p = j->p;
  const struct lsi_request *r = j->r;
  const struct lsi_extent x = p->extents[e];
  const struct lsi_device_model *m = &p->devices[r->object_device[x.object]];
  const uint64_t gap = m->connections ? m->gap : (uint64_t)(m->bandwidth / m->ops_per_s);
  const uint64_t limit = j->o->merge == LSI_MERGE_AUTO
                             ? gap + 2 * (m->align - 1)
                             : j->o->merge;
  const uint64_t n = x.length / j->grain;
  uint8_t *here = calloc(n + 1, 1);
  for (uint32_t k = p->unit_step[u]; k < p->unit_step[u + 1]; k++) {
    const uint32_t s = p->step_order[k];
    for (uint32_t c = lsi_request_chunk_begin(r, s); c < lsi_request_chunk_end(r, s); c++) {
      if (r->object[c] != x.object || r->offset[c] < x.offset ||
          r->offset[c] + r->length[c] > x.offset + x.length)
        continue;
      memset(here + (r->offset[c] - x.offset) / j->grain, 1, r->length[c] / j->grain);
    }
  }
  bool ok = n == 0 || (here[0] && here[n - 1]);
  uint64_t hole = 0;
  for (uint64_t b = 0; b < n; b++) {
    hole = here[b] ? 0 : hole + j->grain;
    ok = ok && hole <= limit;
    /* Steps of one chunk, in order: a gap is only crossed by an extent that stays short. */
    if (hole && !r->step_first && !j->o->in_request_order)
      ok = ok && (b + 1) * j->grain < m->merge_max;
  }
  free(here);
  EXPECT(ok, "extent %u begins, ends or has a hole where it must not", e);
  return true;
}

static uint64_t ahead_of(const struct judge *j) {
  const uint64_t ahead = (j->o->ahead + 4095) / 4096 * 4096;
  return ahead && ahead < 65536 ? 65536 : ahead;
}

/* A step that is streamed has a unit for itself, and no more buffer than what it is read ahead. */
static bool check_streamed(const struct judge *j, uint32_t u, bool *streams) {
  const struct lsi_plan *p = j->p;
  const struct lsi_request *r = j->r;
  const uint64_t ahead = ahead_of(j);
  *streams = false;
  for (uint32_t k = p->unit_step[u]; ahead && k < p->unit_step[u + 1]; k++) {
    const uint32_t c = lsi_request_chunk_begin(r, p->step_order[k]);
    if (lsi_request_chunk_end(r, p->step_order[k]) - c == 1 && r->length[c] > ahead) *streams = true;
  }
  EXPECT(!*streams || (p->unit_step[u + 1] - p->unit_step[u] == 1 && p->unit_extent[u + 1] - p->unit_extent[u] == 1),
         "unit %u is streamed, and has more than one step", u);
  EXPECT(lsi_unit_streams(p, r, u) == *streams, "unit %u is streamed or not", u);
  return true;
}

static bool check_extents(struct judge *j) {
  const struct lsi_plan *p = j->p;
  const struct lsi_request *r = j->r;
  const bool never = j->o->merge == LSI_MERGE_NEVER;
  uint64_t buffers_max = 0, planned = 0;
  for (uint32_t u = 0; u < p->n_units; u++) {
    uint64_t bytes = 0, buffers = 0, most = LSI_UNIT_MAX;
    for (uint32_t e = p->unit_extent[u]; e < p->unit_extent[u + 1]; e++) {
      const struct lsi_extent x = p->extents[e];
      EXPECT(x.object < r->n_objects && x.offset <= r->objects[x.object].size &&
                 x.length <= r->objects[x.object].size - x.offset,
             "extent %u leaves its object", e);
      EXPECT(x.offset % j->grain == 0 && x.length % j->grain == 0, "extent %u is uneven", e);
      EXPECT(never || j->used[e], "extent %u serves nobody", e);
      EXPECT(never || j->filled[e] == (x.length != 0), "extent %u is empty or not wrongly", e);
      if (e > p->unit_extent[u]) {
        const struct lsi_extent w = p->extents[e - 1];
        EXPECT(w.object <= x.object, "extents of unit %u are not in order", u);
        if (w.object == x.object)
          EXPECT(never ? w.offset <= x.offset : w.offset + w.length <= x.offset,
                 "extents of unit %u overlap or are not in order", u);
      }
      bytes += x.length;
      if (x.length)
        buffers += (x.offset + x.length + 4095) / 4096 * 4096 - x.offset / 4096 * 4096;
      for (uint64_t b = 0; b < x.length; b += j->grain)
        j->planned[j->cell[x.object] + (x.offset + b) / j->grain]++;
      if (!never && !check_holes(j, u, e)) return false;
    }
    for (uint32_t k = p->unit_step[u]; k < p->unit_step[u + 1]; k++)
      most = LSI_MAX(most, step_alone(j, p->step_order[k]));
    bool streams;
    if (!check_streamed(j, u, &streams)) return false;
    if (streams) buffers = ahead_of(j) + 4096 + (ahead_of(j) / 2 + 4095) / 4096 * 4096;
    EXPECT(bytes <= most || p->unit_step[u + 1] - p->unit_step[u] == 1, "unit %u is too large", u);
    buffers_max = LSI_MAX(buffers_max, buffers);
    planned += bytes;
  }
  EXPECT(buffers_max == p->unit_bytes_max, "unit_bytes_max");
  EXPECT(planned == p->bytes_planned, "bytes_planned");
  if (never)
    EXPECT(p->n_units == r->n_steps && p->n_extents == r->n_chunks && p->merged == 0,
           "something was merged");
  return true;
}

/* Cuts every extent and lists by brute force which chunks need which operation. */
static bool check_operations(struct judge *j) {
  const struct lsi_plan *p = j->p;
  const struct lsi_request *r = j->r;
  uint64_t operations = 0, merged = 0, split = 0;
  double *seconds_ops = calloc(p->n_devices + 1, sizeof(double));
  double *seconds_bytes = calloc(p->n_devices + 1, sizeof(double));
  uint8_t *shares = calloc(r->n_chunks + 1, 1);
  uint32_t *needs = calloc(r->n_chunks + 1, sizeof *needs);
  bool ok = true;
  for (uint32_t u = 0; u < p->n_units && ok; u++)
    for (uint32_t e = p->unit_extent[u]; e < p->unit_extent[u + 1] && ok; e++) {
      const struct lsi_extent x = p->extents[e];
      const uint64_t op_max = op_max_of(j, x.object), n = lsi_extent_operations(&x, op_max);
      uint64_t at = x.offset;
      for (uint64_t i = 0; i < n && ok; i++) {
        uint64_t begin, length;
        lsi_extent_operation(&x, op_max, i, &begin, &length);
        ok = begin == at && length >= 1 && length <= op_max && (i == 0 || begin % op_max == 0);
        at = begin + length;
        uint32_t users = 0, last = 0;
        for (uint32_t k = p->unit_step[u]; k < p->unit_step[u + 1]; k++) {
          const uint32_t s = p->step_order[k];
          for (uint32_t c = lsi_request_chunk_begin(r, s); c < lsi_request_chunk_end(r, s); c++) {
            if (lsi_plan_find_extent(p, u, r->object[c], r->offset[c], r->length[c]) != e ||
                !r->length[c] || r->offset[c] >= at || r->offset[c] + r->length[c] <= begin)
              continue;
            needs[c]++;
            if (users++) shares[c] = shares[last] = 1;
            last = c;
          }
        }
      }
      ok = ok && at == x.offset + x.length;
      operations += n;
      seconds_ops[r->object_device[x.object]] += (double)n;
      seconds_bytes[r->object_device[x.object]] += (double)x.length;
    }
  for (uint32_t c = 0; c < r->n_chunks; c++) merged += shares[c], split += needs[c] > 1;
  double expected = 0;
  for (uint32_t d = 0; d < p->n_devices; d++) {
    const struct lsi_device_model *m = &p->devices[d];
    const double n = seconds_ops[d], a = n / m->ops_per_s, b = seconds_bytes[d] / m->bandwidth;
    double all = lsi_device_adds(m) ? a + b : fmax(a, b);
    if (m->connections && n) { /* each takes turns with what has the same connection */
      const double one = m->latency_s + seconds_bytes[d] / n / m->conn_bandwidth;
      all = fmax(n * one / fmin(n, m->connections), m->latency_s + fmax(a, b));
    }
    expected = fmax(expected, all);
  }
  free(seconds_ops);
  free(seconds_bytes);
  free(shares);
  free(needs);
  EXPECT(ok, "operations do not cover their extent");
  EXPECT(operations == p->operations, "operations");
  if (j->o->merge != LSI_MERGE_NEVER) {
    EXPECT(merged == p->merged, "merged is %lu, not %lu", (unsigned long)p->merged,
           (unsigned long)merged);
    EXPECT(split == p->split, "split is %lu, not %lu", (unsigned long)p->split,
           (unsigned long)split);
  }
  EXPECT(fabs(expected - p->expected_s) <= 1e-9 * (1 + expected), "expected_s");
  return true;
}

static bool check_counts(struct judge *j) {
  const struct lsi_plan *p = j->p;
  const struct lsi_request *r = j->r;
  uint64_t before = 0, requested = 0, gaps = 0, twice = 0, step_max = 0;
  uint32_t largest = 0;
  for (uint32_t s = 0; s < r->n_steps; s++) {
    uint64_t bytes = 0;
    for (uint32_t c = lsi_request_chunk_begin(r, s); c < lsi_request_chunk_end(r, s); c++) {
      before += r->length[c] != 0;
      bytes += r->length[c];
    }
    requested += bytes;
    if (bytes > step_max) step_max = bytes, largest = s;
  }
  for (uint64_t i = 0; i < j->n_cells; i++) {
    EXPECT(!j->wanted[i] || j->planned[i], "a byte that is wanted is not read");
    gaps += j->planned[i] && !j->wanted[i];
    twice += j->planned[i] ? j->planned[i] - 1 : 0;
  }
  EXPECT(before == p->operations_before, "operations_before");
  EXPECT(requested == p->bytes_requested, "bytes_requested");
  EXPECT(gaps * j->grain == p->bytes_gaps, "bytes_gaps is %lu, not %lu", (unsigned long)p->bytes_gaps,
         (unsigned long)(gaps * j->grain));
  EXPECT(twice * j->grain == p->bytes_twice, "bytes_twice is %lu, not %lu", (unsigned long)p->bytes_twice,
         (unsigned long)(twice * j->grain));
  EXPECT(p->bytes_over_read == p->bytes_gaps + p->bytes_twice, "bytes_over_read");
  EXPECT(step_max == p->step_bytes_max && largest == p->step_largest, "largest step");
  return true;
}

static int place(const struct lsi_request *r, uint32_t a, uint32_t b) {
  const uint32_t x = lsi_request_chunk_begin(r, a), y = lsi_request_chunk_begin(r, b);
  if (r->object[x] != r->object[y]) return r->object[x] < r->object[y] ? -1 : 1;
  if (r->offset[x] != r->offset[y]) return r->offset[x] < r->offset[y] ? -1 : 1;
  return a < b ? -1 : a > b;
}

static bool check_order(struct judge *j) {
  const struct lsi_plan *p = j->p;
  const struct lsi_request *r = j->r;
  uint32_t unit = 0;
  if (j->o->in_request_order) EXPECT(p->n_sections == (r->n_steps != 0), "not one section");
  for (uint32_t i = 0; i < p->n_sections; i++) {
    const struct lsi_section *s = &p->sections[i];
    EXPECT(s->unit_begin == unit && s->unit_end > unit, "section %u", i);
    EXPECT(i == 0 || p->sections[i - 1].device < s->device, "sections are not in order");
    unit = s->unit_end;
    uint64_t bytes = 0;
    for (uint32_t e = p->unit_extent[s->unit_begin]; e < p->unit_extent[s->unit_end]; e++)
      bytes += p->extents[e].length;
    EXPECT(bytes == s->bytes, "bytes of section %u", i);
    for (uint32_t k = p->unit_step[s->unit_begin]; k < p->unit_step[s->unit_end]; k++) {
      const uint32_t step = p->step_order[k];
      if (j->o->in_request_order) {
        EXPECT(step == k, "steps are not in request order");
        continue;
      }
      EXPECT(r->object_device[r->object[lsi_request_chunk_begin(r, step)]] == s->device,
             "step %u is in another device's section", step);
      if (k > p->unit_step[s->unit_begin])
        EXPECT(place(r, p->step_order[k - 1], step) < 0, "steps are not in order of place");
    }
  }
  EXPECT(unit == p->n_units, "sections do not end with the units");
  return true;
}

const char *plan_oracle_check(const struct lsi_request *r, const struct lsi_plan_options *o,
                              const struct lsi_plan *p, uint64_t grain) {
  struct judge j = {.r = r, .o = o, .p = p, .grain = grain};
  j.cell = calloc(r->n_objects + 1, sizeof *j.cell);
  for (uint32_t i = 0; i < r->n_objects; i++) {
    j.cell[i] = j.n_cells;
    j.n_cells += r->objects[i].size / grain;
  }
  j.planned = calloc(j.n_cells + 1, sizeof *j.planned);
  j.wanted = calloc(j.n_cells + 1, 1);
  j.step_unit = calloc(r->n_steps + 1, sizeof *j.step_unit);
  j.used = calloc(p->n_extents + 1, 1);
  j.filled = calloc(p->n_extents + 1, 1);
  const bool ok = check_shape(&j) && check_chunks(&j) && check_extents(&j) &&
                  check_operations(&j) && check_counts(&j) && check_order(&j);
  free(j.cell);
  free(j.planned);
  free(j.wanted);
  free(j.step_unit);
  free(j.used);
  free(j.filled);
  return ok ? NULL : message;
}

void plan_oracle_dump(const struct lsi_request *r, const struct lsi_plan_options *o,
                      const struct lsi_plan *p) {
  fprintf(stderr, "merge %llx, in order %d\n", (unsigned long long)o->merge, o->in_request_order);
  if (r->n_chunks > 100) {
    fprintf(stderr, "  %u chunks\n", r->n_chunks);
    return;
  }
  for (uint32_t s = 0; s < r->n_steps; s++)
    for (uint32_t c = lsi_request_chunk_begin(r, s); c < lsi_request_chunk_end(r, s); c++)
      fprintf(stderr, "  step %u chunk %u: object %u of %llu at %llu + %llu\n", s, c, r->object[c],
              (unsigned long long)r->objects[r->object[c]].size, (unsigned long long)r->offset[c],
              (unsigned long long)r->length[c]);
  for (uint32_t u = 0; u < p->n_units; u++) {
    fprintf(stderr, "  unit %u: steps", u);
    for (uint32_t k = p->unit_step[u]; k < p->unit_step[u + 1]; k++)
      fprintf(stderr, " %u", p->step_order[k]);
    for (uint32_t e = p->unit_extent[u]; e < p->unit_extent[u + 1]; e++)
      fprintf(stderr, "; object %u at %llu + %llu", p->extents[e].object,
              (unsigned long long)p->extents[e].offset, (unsigned long long)p->extents[e].length);
    fprintf(stderr, "\n");
  }
}
