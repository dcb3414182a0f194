/* The greedy sweep: takes the steps in order and lets each join the unit before it when that saves an
 * operation; otherwise the unit is closed. */
#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"
#include "plan/plan_impl.h"

/* A unit of several extents stops growing here (unless one step has more): its operations fill a
 * queue already, and finding the extent of a chunk stays cheap. */
#define UNIT_EXTENTS_MAX 64u

/* Chunks from a quarter of merge_max on are read by themselves: at that size a device runs at full
 * bandwidth, and one buffer for several would only be larger and colder. */
#define LARGE_PART 4u
#define LARGE_REPLY ((uint64_t)1 << 20) /* of a connection, at least */

/* But an operation costs the CPU about 5 us, 5 % of a light job's CPU in 256 KiB operations instead of 512
 * KiB ones. So those that touch share one where the request makes so many operations of merge_max that
 * every worker still gets its part, and where latency does not occupy what moves the bytes. */
#define PLENTY 1024u

struct range {
  uint64_t start;
  uint64_t end;
  uint32_t object;
  bool large;   /* holds a chunk that is efficient by itself */
  bool streams; /* is a step that is streamed, alone */
  uint8_t from; /* in a join: 1 = the unit's, 2 = the step's */
};

struct ranges {
  struct range *at;
  uint32_t n, cap;
};

struct sweep {
  const struct lsi_request *r;
  struct lsi_plan *plan;
  struct lsi_plan_totals *totals;
  struct lsi_plan_counted *counted;
  struct lsi_plan_cost *cost;  /* by device */
  uint64_t gap;                /* LSI_MERGE_AUTO or the largest gap */
  bool apart;                  /* LSI_MERGE_NEVER */
  struct ranges unit;          /* extents of the unit that grows */
  struct ranges own;           /* what the step at hand needs */
  struct ranges joined;        /* both, where it is tried */
  uint64_t unit_bytes;         /* of the unit's extents */
  uint64_t alone_bytes;        /* the most that one of the unit's steps needs by itself */
  uint32_t alone_extents;      /* the most extents that one of the unit's steps needs by itself */
  uint64_t filled;             /* chunks of the unit that are not empty */
  struct lsi_plan_spans spans;
};

static struct lsi_plan_cost *cost_of(const struct sweep *s, uint32_t object) {
  return &s->cost[s->r->object_device[object]];
}

/* What an operation costs where the longer of its time and its bytes' time counts. */
static uint64_t overlapped(const struct lsi_plan_cost *c, uint64_t bytes) {
  return LSI_MAX(c->op, bytes);
}

/* Is one operation over a and b (which starts behind a's end) cheaper than two? Bytes count as the
 * device reads them, rounded out. */
static bool pays(const struct lsi_plan_cost *c, const struct range *a, const struct range *b) {
  const uint64_t a0 = lsi_round_down(a->start, c->align), a1 = lsi_round_up(a->end, c->align);
  const uint64_t b0 = lsi_round_down(b->start, c->align), b1 = lsi_round_up(b->end, c->align);
  if (b0 <= a1) return true;
  if (b0 - a1 > c->op) return false;
  return c->adds || overlapped(c, b1 - a0) <= overlapped(c, a1 - a0) + overlapped(c, b1 - b0);
}

/* Do a and b share bytes? An empty range is where it touches another. a does not start behind b. */
static bool overlap(const struct range *a, const struct range *b) {
  return b->start < a->end || (b->start == a->end && (a->start == a->end || b->start == b->end));
}

/* Of the same object; a does not start behind b. */
static bool may_merge(const struct sweep *s, const struct lsi_plan_cost *c, const struct range *a,
                      const struct range *b) {
  if (overlap(a, b)) return true;
  if (a->start == a->end || b->start == b->end) return false; /* no operation to save */
  if (b->end - a->start > c->merge_max) return false;
  if (s->gap != LSI_MERGE_AUTO) return b->start - a->end <= s->gap;
  if (a->large || b->large) return c->joins && a->end == b->start;
  return pays(c, a, b);
}

static struct range range_of(const struct sweep *s, uint32_t chunk) {
  const uint64_t offset = s->r->offset[chunk], length = s->r->length[chunk];
  const uint32_t object = s->r->object[chunk];
  return (struct range){offset, offset + length, object, length >= cost_of(s, object)->large, false, 2};
}

static bool room(struct ranges *v, uint32_t n) {
  if (n <= v->cap) return true;
  const uint64_t cap = LSI_MAX((uint64_t)n, v->cap + (uint64_t)v->cap / 2);
  struct range *at = lsi_reallocarray(v->at, cap, sizeof *at);
  if (!at) return false;
  v->at = at;
  v->cap = (uint32_t)LSI_MIN(cap, UINT32_MAX);
  return true;
}

static int compare(const void *x, const void *y) {
  const struct range *a = x, *b = y;
  if (a->object != b->object) return a->object < b->object ? -1 : 1;
  if (a->start != b->start) return a->start < b->start ? -1 : 1;
  return a->end < b->end ? -1 : a->end > b->end;
}

static bool is_sorted(const struct ranges *v) {
  for (uint32_t i = 1; i < v->n; i++)
    if (compare(&v->at[i - 1], &v->at[i]) > 0) return false;
  return true;
}

static uint64_t bytes_of(const struct ranges *v) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < v->n; i++) sum = lsi_sat_add(sum, v->at[i].end - v->at[i].start);
  return sum;
}

/* Merges neighbours in place; true when ranges of both origins met. */
static bool merge_sorted(const struct sweep *s, struct ranges *v) {
  bool met = false;
  uint32_t last = 0;
  for (uint32_t i = 1; i < v->n; i++) {
    struct range *a = &v->at[last];
    const struct range *b = &v->at[i];
    if (a->object == b->object && may_merge(s, cost_of(s, a->object), a, b)) {
      met |= (a->from | b->from) == 3;
      a->end = LSI_MAX(a->end, b->end);
      a->large |= b->large;
      a->from |= b->from;
    } else {
      v->at[++last] = *b;
    }
  }
  if (v->n) v->n = last + 1;
  return met;
}

/* Writes the current unit's extents; its steps end before entry `step_end` of the order. */
static int close_unit(struct sweep *s, uint32_t step_end, struct lsi_error *err) {
  struct lsi_plan *p = s->plan;
  uint64_t operations = 0, buffers = 0;
  if (s->unit.n == 0) return 0;
  for (uint32_t i = 0; i < s->unit.n; i++) {
    const struct range *a = &s->unit.at[i];
    struct lsi_extent *e = &p->extents[p->n_extents++];
    e->offset = a->start;
    e->length = a->end - a->start;
    e->object = a->object;
    lsi_plan_distinct_add(&s->counted->read, a->object, a->start, e->length);
    const uint16_t device = s->r->object_device[a->object];
    const uint64_t ops = lsi_extent_operations(e, s->cost[device].op_max);
    s->totals[device].operations = lsi_sat_add(s->totals[device].operations, ops);
    s->totals[device].bytes = lsi_sat_add(s->totals[device].bytes, e->length);
    operations = lsi_sat_add(operations, ops);
    buffers = lsi_sat_add(buffers, a->streams ? lsi_ahead_buffer(p->ahead) : lsi_extent_buffer(e));
  }
  p->operations = lsi_sat_add(p->operations, operations);
  p->bytes_planned = lsi_sat_add(p->bytes_planned, s->unit_bytes);
  p->unit_bytes_max = LSI_MAX(p->unit_bytes_max, buffers);
  const uint32_t unit = p->n_units++;
  p->unit_extent[p->n_units] = p->n_extents;
  p->unit_step[p->n_units] = step_end;
  struct lsi_section *section = &p->sections[p->n_sections - 1];
  section->unit_end = p->n_units;
  section->bytes = lsi_sat_add(section->bytes, s->unit_bytes);
  s->unit.n = 0;
  if (s->apart || operations == 1 || s->filled < 2) {
    p->merged += s->filled > 1 ? s->filled : 0;
    p->split += operations > 1;
    return 0;
  }
  return lsi_plan_count_unit(s->r, p, unit, &s->spans, err);
}

/* The common case: a unit of one extent, a step of one chunk. */
static bool join_one(struct sweep *s, const struct range *b) {
  struct range *a = &s->unit.at[0];
  if (a->object != b->object || a->streams || b->streams) return false;
  const struct lsi_plan_cost *c = cost_of(s, a->object);
  if (!(b->start >= a->start ? may_merge(s, c, a, b) : may_merge(s, c, b, a))) return false;
  const uint64_t start = LSI_MIN(a->start, b->start), end = LSI_MAX(a->end, b->end);
  const uint64_t alone = LSI_MAX(s->alone_bytes, b->end - b->start);
  if (end - start > LSI_MAX((uint64_t)LSI_UNIT_MAX, alone)) return false;
  a->start = start;
  a->end = end;
  a->large |= b->large;
  s->unit_bytes = end - start;
  s->alone_bytes = alone;
  return true;
}

/* s->own, merged by itself, joins the unit if a range of it meets one of the unit's. */
static int join_many(struct sweep *s, bool *joined, struct lsi_error *err) {
  const struct ranges *u = &s->unit, *o = &s->own;
  *joined = false;
  if (u->at[0].streams || o->at[0].streams) return 0;
  const uint64_t n = (uint64_t)u->n + o->n;
  if (n > UINT32_MAX || !room(&s->joined, (uint32_t)n))
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to plan a step of many chunks");
  struct range *to = s->joined.at;
  for (uint32_t i = 0, j = 0; i < u->n || j < o->n; to++) {
    const bool mine = j == o->n || (i < u->n && compare(&u->at[i], &o->at[j]) <= 0);
    *to = mine ? u->at[i++] : o->at[j++];
    to->from = mine ? 1 : 2;
  }
  s->joined.n = (uint32_t)n;
  const bool met = merge_sorted(s, &s->joined);
  const uint64_t bytes = bytes_of(&s->joined), own_bytes = bytes_of(o);
  const uint64_t alone = LSI_MAX(s->alone_bytes, own_bytes);
  const uint32_t extents = LSI_MAX(s->alone_extents, o->n);
  if (!met || bytes > LSI_MAX((uint64_t)LSI_UNIT_MAX, alone) ||
      s->joined.n > LSI_MAX(UNIT_EXTENTS_MAX, extents))
    return 0;
  const struct ranges t = s->unit;
  s->unit = s->joined;
  s->joined = t;
  s->unit_bytes = bytes;
  s->alone_bytes = alone;
  s->alone_extents = extents;
  *joined = true;
  return 0;
}

static int start_unit(struct sweep *s, struct lsi_error *err) {
  if (!room(&s->unit, s->own.n))
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to plan a step of many chunks");
  memcpy(s->unit.at, s->own.at, s->own.n * sizeof *s->own.at);
  s->unit.n = s->own.n;
  s->unit_bytes = s->alone_bytes = bytes_of(&s->own);
  s->alone_extents = s->own.n;
  s->filled = 0;
  return 0;
}

/* A step of one chunk. */
static struct range range_alone(const struct sweep *s, uint32_t chunk) {
  struct range a = range_of(s, chunk);
  a.streams = lsi_plan_streams(s->plan, a.end - a.start);
  return a;
}

/* Puts the ranges of a step into s->own, merged by themselves. */
static int take_step(struct sweep *s, uint32_t begin, uint32_t end, struct lsi_error *err) {
  if (!room(&s->own, end - begin))
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to plan a step of %u chunks", end - begin);
  s->own.n = end - begin;
  if (s->own.n == 1) {
    s->own.at[0] = range_alone(s, begin);
    return 0;
  }
  for (uint32_t c = begin; c < end; c++) s->own.at[c - begin] = range_of(s, c);
  if (!is_sorted(&s->own)) qsort(s->own.at, s->own.n, sizeof *s->own.at, compare);
  if (!s->apart) merge_sorted(s, &s->own);
  return 0;
}

/* Opens a section when the step belongs to another device than the last. */
static int enter_section(struct sweep *s, uint32_t j, uint32_t device, bool one_section,
                         struct lsi_error *err) {
  struct lsi_plan *p = s->plan;
  if (p->n_sections && (one_section || p->sections[p->n_sections - 1].device == device)) return 0;
  int code = close_unit(s, j, err);
  p->sections[p->n_sections++] =
      (struct lsi_section){.device = device, .unit_begin = p->n_units, .unit_end = p->n_units};
  return code;
}

static void count_step(struct sweep *s, uint32_t step, uint32_t begin, uint32_t end) {
  struct lsi_plan *p = s->plan;
  uint64_t bytes = 0;
  for (uint32_t c = begin; c < end; c++) {
    bytes = lsi_sat_add(bytes, s->r->length[c]);
    lsi_plan_distinct_add(&s->counted->asked, s->r->object[c], s->r->offset[c], s->r->length[c]);
    s->filled += s->r->length[c] != 0;
    p->operations_before += s->r->length[c] != 0;
  }
  p->bytes_requested = lsi_sat_add(p->bytes_requested, bytes);
  if (bytes > p->step_bytes_max || (bytes == p->step_bytes_max && step < p->step_largest)) {
    p->step_bytes_max = bytes;
    p->step_largest = step;
  }
}

static int sweep_steps(struct sweep *s, bool one_section, struct lsi_error *err) {
  const struct lsi_request *r = s->r;
  struct lsi_plan *p = s->plan;
  for (uint32_t j = 0; j < r->n_steps; j++) {
    const uint32_t step = p->step_order[j];
    if (j + LSI_PLAN_PREFETCH < r->n_steps && !r->step_first) {
      const uint32_t ahead = p->step_order[j + LSI_PLAN_PREFETCH];
      __builtin_prefetch(&r->offset[ahead]);
      __builtin_prefetch(&r->length[ahead]);
      __builtin_prefetch(&r->object[ahead]);
    }
    const uint32_t begin = lsi_request_chunk_begin(r, step), end = lsi_request_chunk_end(r, step);
    int code = enter_section(s, j, r->object_device[r->object[begin]], one_section, err);
    if (code) return code;
    bool joined = false;
    if (!s->apart && end - begin == 1 && s->unit.n == 1) {
      const struct range b = range_alone(s, begin);
      joined = join_one(s, &b);
      if (!joined) s->own.at[0] = b, s->own.n = 1;
    } else {
      code = take_step(s, begin, end, err);
      if (!code && !s->apart && s->unit.n) code = join_many(s, &joined, err);
      if (code) return code;
    }
    if (!joined) {
      code = close_unit(s, j, err);
      if (!code) code = start_unit(s, err);
      if (code) return code;
    }
    count_step(s, step, begin, end);
  }
  return close_unit(s, r->n_steps, err);
}

/* What reading each chunk by itself does not change: nothing is merged, and a chunk is split when its
 * own extent is. */
static void count_apart(const struct sweep *s) {
  struct lsi_plan *p = s->plan;
  p->merged = p->split = 0;
  for (uint32_t i = 0; i < p->n_extents; i++)
    p->split += lsi_extent_operations(&p->extents[i], cost_of(s, p->extents[i].object)->op_max) > 1;
}

static struct lsi_plan_cost cost_from(const struct lsi_device_model *m,
                                      const struct lsi_plan_options *options, uint64_t requested) {
  return (struct lsi_plan_cost){.op = lsi_device_gap(m),
                                .merge_max = m->merge_max,
                                .large = LSI_MAX(m->merge_max / LARGE_PART, m->connections ? LARGE_REPLY : 1),
                                .op_max = m->op_max,
                                .align = m->align,
                                .adds = lsi_device_adds(m),
                                .joins = !options->large_apart && !lsi_device_adds(m) &&
                                         requested / m->merge_max >= PLENTY};
}

int lsi_plan_sweep(const struct lsi_request *r, const struct lsi_plan_options *options,
                   struct lsi_plan *plan, struct lsi_plan_totals *totals,
                   struct lsi_plan_counted *counted, struct lsi_error *err) {
  struct sweep s = {.r = r,
                    .plan = plan,
                    .totals = totals,
                    .counted = counted,
                    .gap = options->merge,
                    .apart = options->merge == LSI_MERGE_NEVER};
  s.cost = lsi_reallocarray(NULL, plan->n_devices, sizeof *s.cost);
  const uint64_t requested = lsi_request_bytes(r);
  int code = 0;
  if (!s.cost || !room(&s.own, UNIT_EXTENTS_MAX))
    code = lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory to plan");
  for (uint32_t i = 0; !code && i < plan->n_devices; i++)
    s.cost[i] = cost_from(&plan->devices[i], options, requested);
  if (!code) code = sweep_steps(&s, options->in_request_order, err);
  if (!code && s.apart) count_apart(&s);
  lsi_free(s.cost);
  lsi_free(s.unit.at);
  lsi_free(s.own.at);
  lsi_free(s.joined.at);
  lsi_free(s.spans.at);
  return code;
}
