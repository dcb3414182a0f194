#include "plan/explain.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"
#include "ground/text.h"
#include "ground/units.h"
#include "plan/plan_impl.h"

struct device_share {
  uint32_t objects, extents;
  uint64_t operations, bytes;
  double seconds;
};

/* One per device (lsi_free); NULL when memory is short. */
static struct device_share *shares_of(const struct lsi_explain_input *in) {
  const struct lsi_plan *p = in->plan;
  const struct lsi_request *r = in->request;
  struct device_share *shares = lsi_calloc(p->n_devices, sizeof *shares);
  if (!shares) return NULL;
  for (uint32_t i = 0; i < r->n_objects; i++) shares[r->object_device[i]].objects++;
  for (uint32_t i = 0; i < p->n_extents; i++) {
    const struct lsi_extent *e = &p->extents[i];
    const uint16_t device = r->object_device[e->object];
    struct device_share *s = &shares[device];
    s->extents++;
    s->operations = lsi_sat_add(s->operations,
                                lsi_extent_operations(e, p->devices[device].op_max));
    s->bytes = lsi_sat_add(s->bytes, e->length);
  }
  for (uint32_t i = 0; i < p->n_devices; i++)
    shares[i].seconds = lsi_device_seconds(&p->devices[i], (double)shares[i].operations,
                                           (double)shares[i].bytes);
  return shares;
}

/* What will set the pace, and for how long. */
struct pace {
  const char *bound;
  double read_s, all_s;
};

/* A device that has too little in flight to be busy leaves its latency bare: each operation then takes
 * that, shared by those in flight. True: that takes longer than the device's own pace. */
static bool latency_of(const struct lsi_device_model *m, const struct device_share *s, uint32_t depth,
                       double *seconds) {
  *seconds = s->seconds;
  if (!s->operations) return false;
  uint64_t flying = s->operations;
  if (depth) flying = LSI_MIN(flying, (uint64_t)depth);
  if (m->cap) flying = LSI_MIN(flying, (uint64_t)m->cap);
  if (flying >= lsi_device_busy_at(m, (double)s->bytes / (double)s->operations)) return false;
  const double bare = (double)s->operations * m->latency_s / (double)flying;
  if (bare <= s->seconds) return false;
  *seconds = bare;
  return true;
}

/* Reading, decoding and writing go on at the same time, so the slowest of them counts. */
static struct pace pace_of(const struct lsi_explain_input *in, const struct device_share *shares) {
  const struct lsi_plan *p = in->plan;
  struct pace pace = {.bound = "latency"}; /* of a plan that reads nothing */
  for (uint32_t i = 0; i < p->n_devices; i++) {
    double t;
    const bool bare = latency_of(&p->devices[i], &shares[i], in->queue_depth, &t);
    if (t <= pace.read_s) continue;
    pace.read_s = t;
    pace.bound = bare ? "latency" : "device";
  }
  pace.all_s = pace.read_s;
  if (in->decode_s > pace.all_s) pace.all_s = in->decode_s, pace.bound = "decode";
  if (in->sink_s > pace.all_s) pace.all_s = in->sink_s, pace.bound = "sink";
  return pace;
}

/* Seconds that a step's transform may take before it sets the pace. */
static double transform_room(const struct lsi_explain_input *in, const struct pace *pace) {
  const uint32_t steps = in->request->n_steps;
  return steps ? pace->all_s * in->workers / steps : 0;
}

/* Which of the model's numbers a device's time comes from. */
static const char *limit_of(const struct lsi_device_model *m, const struct device_share *s) {
  return (double)s->operations * (double)lsi_device_gap(m) > (double)s->bytes ? "operations"
                                                                              : "bandwidth";
}

/* ---- Text ---- */

static struct lsi_shown count(uint64_t n) { return lsi_show_count(n); }
static struct lsi_shown bytes(uint64_t n) { return lsi_show_size(n); }
static struct lsi_shown seconds(double s) { return lsi_show_time(s); }

static double percent(uint64_t part, uint64_t whole) {
  return whole ? 100.0 * (double)part / (double)whole : 0;
}

static const char *plural(uint64_t n) { return n == 1 ? "" : "s"; }

static void add_device(struct lsi_text *t, uint32_t i, const struct lsi_device_model *m,
                       const struct device_share *s) {
  lsi_text_add(t, "  device %-5u %s: %s object%s, %s operation%s, %s, %s (by its %s)\n", i,
               lsi_device_kind_name((enum lsi_device_kind)m->kind), count(s->objects).text,
               plural(s->objects), count(s->operations).text, plural(s->operations),
               bytes(s->bytes).text, seconds(s->seconds).text, limit_of(m, s));
  lsi_text_add(t,
               "               taken to do %s, %s operations/s, %s latency, %u in flight; "
               "gaps up to %s are read through, operations end at %s\n",
               lsi_show_rate(m->bandwidth).text, count((uint64_t)m->ops_per_s).text,
               seconds(m->latency_s).text, m->concurrency, bytes(lsi_device_gap(m)).text,
               bytes(m->op_max).text);
}

static void add_read(struct lsi_text *t, const struct lsi_plan *p) {
  lsi_text_add(t, "  read         %s in %s unit%s; %.1f %% of it over-read (%s",
               bytes(p->bytes_planned).text, count(p->n_units).text, plural(p->n_units),
               percent(p->bytes_over_read, p->bytes_planned), bytes(p->bytes_over_read).text);
  if (p->bytes_gaps) lsi_text_add(t, ", %s in gaps", bytes(p->bytes_gaps).text);
  if (p->bytes_twice) lsi_text_add(t, ", %s more than once", bytes(p->bytes_twice).text);
  lsi_text_add(t, ")\n");
}

static void add_pace(struct lsi_text *t, const struct lsi_explain_input *in,
                     const struct device_share *shares) {
  static const char *const names[][2] = {{"device", "the device"},
                                         {"latency", "latency"},
                                         {"decode", "decoding"},
                                         {"sink", "writing the output"}};
  const struct pace pace = pace_of(in, shares);
  lsi_text_add(t, "  expected     %s of reading%s%s", seconds(pace.read_s).text,
               in->backend ? " through " : "", in->backend ? in->backend : "");
  if (in->decode_s > 0) lsi_text_add(t, ", about %s of decoding", seconds(in->decode_s).text);
  if (in->sink_s > 0) lsi_text_add(t, ", about %s of writing", seconds(in->sink_s).text);
  for (size_t i = 0; i < LSI_COUNTOF(names); i++)
    if (strcmp(pace.bound, names[i][0]) == 0) lsi_text_add(t, ", bound by %s\n", names[i][1]);
  if (in->transform && in->request->n_steps)
    lsi_text_add(
        t, "  transform    only a run can tell; it sets the pace if it takes more than %s a step\n",
        seconds(transform_room(in, &pace)).text);
}

static void add_memory(struct lsi_text *t, const struct lsi_explain_input *in) {
  const struct lsi_plan *p = in->plan;
  lsi_text_add(
      t, "  memory       %s for %u worker%s; the largest unit takes %s, the largest step %s\n",
      bytes(in->memory).text, in->workers, plural(in->workers), bytes(p->unit_bytes_max).text,
      bytes(p->step_bytes_max).text);
}

/* Of what is cut as it comes. */
static char *open_end_text(const struct lsi_explain_input *in) {
  const struct lsi_request *r = in->request;
  struct lsi_text t = {0};
  lsi_text_add(&t, "Plan: %s in steps of %s, until it ends", lsi_request_name(r, 0), bytes(r->cut).text);
  if (r->cut_most) lsi_text_add(&t, ", at most %s of them", count(r->cut_most).text);
  lsi_text_add(&t, "\n  read         in order, by whichever worker is free\n");
  add_memory(&t, in);
  return lsi_text_take(&t);
}

char *lsi_explain_text(const struct lsi_explain_input *in) {
  const struct lsi_plan *p = in->plan;
  const struct lsi_request *r = in->request;
  if (r->cut) return open_end_text(in);
  struct device_share *shares = shares_of(in);
  if (!shares) return NULL;
  struct lsi_text t = {0};
  lsi_text_add(&t, "Plan: %s chunk%s of %s object%s in %s step%s, %s\n", count(r->n_chunks).text,
               plural(r->n_chunks), count(r->n_objects).text, plural(r->n_objects),
               count(r->n_steps).text, plural(r->n_steps), bytes(p->bytes_requested).text);
  lsi_text_add(&t,
               "  operations   %s, where one for each chunk would be %s; %s chunk%s share one, %s "
               "%s split\n",
               count(p->operations).text, count(p->operations_before).text, count(p->merged).text,
               plural(p->merged), count(p->split).text, p->split == 1 ? "is" : "are");
  if (r->faults.n)
    lsi_text_add(&t, "  faults       %s chunk%s can't be had: sources that can't be read, ranges outside "
                     "them, steps that do not fit\n", count(r->faults.n).text, plural(r->faults.n));
  add_read(&t, p);
  add_memory(&t, in);
  add_pace(&t, in, shares);
  for (uint32_t i = 0; i < p->n_devices; i++)
    if (shares[i].objects) add_device(&t, i, &p->devices[i], &shares[i]);
  lsi_free(shares);
  return lsi_text_take(&t);
}

/* ---- JSON ---- */

static bool put(json_t *object, const char *key, json_t *value) { /* steals value */
  return json_object_set_new(object, key, value) == 0;
}

static json_t *count_json(uint64_t n) {
  return json_integer((json_int_t)LSI_MIN(n, (uint64_t)INT64_MAX));
}

static json_t *real_json(double x) { return json_real(isfinite(x) ? x : 0); }

static json_t *device_json(const struct lsi_device_model *m, const struct device_share *s) {
  json_t *o = json_object();
  if (o && put(o, "kind", json_string(lsi_device_kind_name((enum lsi_device_kind)m->kind))) &&
      put(o, "objects", count_json(s->objects)) &&
      put(o, "extents", count_json(s->extents)) &&
      put(o, "operations", count_json(s->operations)) &&
      put(o, "bytes_planned", count_json(s->bytes)) &&
      put(o, "expected_s", real_json(s->seconds)) && put(o, "limit", json_string(limit_of(m, s))) &&
      put(o, "bandwidth", real_json(m->bandwidth)) &&
      put(o, "operations_per_s", real_json(m->ops_per_s)) &&
      put(o, "latency_s", real_json(m->latency_s)) &&
      put(o, "operation_max", count_json(m->op_max)) &&
      put(o, "merge_max", count_json(m->merge_max)) &&
      put(o, "gap", count_json(lsi_device_gap(m))) && put(o, "align", count_json(m->align)) &&
      put(o, "concurrency", count_json(m->concurrency)) && put(o, "cap", count_json(m->cap)))
    return o;
  json_decref(o);
  return NULL;
}

static json_t *devices_json(const struct lsi_plan *p, const struct device_share *shares) {
  json_t *list = json_array();
  for (uint32_t i = 0; list && i < p->n_devices; i++) {
    if (!shares[i].objects) continue;
    if (json_array_append_new(list, device_json(&p->devices[i], &shares[i])) == 0) continue;
    json_decref(list);
    return NULL;
  }
  return list;
}

/* As text in memory of ours. */
static char *dump(const json_t *value) {
  const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(12);
  const size_t length = json_dumpb(value, NULL, 0, flags);
  char *text = length ? lsi_malloc(length + 2) : NULL;
  if (!text) return NULL;
  if (json_dumpb(value, text, length, flags) != length) {
    lsi_free(text);
    return NULL;
  }
  text[length] = '\n';
  text[length + 1] = 0;
  return text;
}

/* The same names; null is what nobody knows. */
static char *open_end_json(const struct lsi_explain_input *in) {
  static const char *const unknown[] = {
      "chunks", "steps", "units", "operations_before", "operations", "bytes_requested", "bytes_planned",
      "expected_s", "read_s", "decode_s", "sink_s", "transform_s_per_step_most", "bound"};
  static const char *const none[] = {"chunks_faulty", "merged", "split", "bytes_over_read", "bytes_gaps",
                                     "bytes_twice"};
  const struct lsi_request *r = in->request;
  json_t *o = json_object();
  bool ok = o && put(o, "objects", count_json(1)) && put(o, "chunk_bytes", count_json(r->cut)) &&
            put(o, "chunks_most", r->cut_most ? count_json(r->cut_most) : json_null()) &&
            put(o, "memory", count_json(in->memory)) && put(o, "workers", count_json(in->workers)) &&
            put(o, "unit_bytes_max", count_json(in->plan->unit_bytes_max)) &&
            put(o, "step_bytes_max", count_json(in->plan->step_bytes_max)) &&
            put(o, "backend", in->backend ? json_string(in->backend) : json_null()) &&
            put(o, "devices", json_array());
  for (size_t i = 0; ok && i < LSI_COUNTOF(unknown); i++) ok = put(o, unknown[i], json_null());
  for (size_t i = 0; ok && i < LSI_COUNTOF(none); i++) ok = put(o, none[i], count_json(0));
  char *text = ok ? dump(o) : NULL;
  json_decref(o);
  return text;
}

char *lsi_explain_json(const struct lsi_explain_input *in) {
  if (in->request->cut) return open_end_json(in);
  const struct lsi_plan *p = in->plan;
  const struct lsi_request *r = in->request;
  struct device_share *shares = shares_of(in);
  if (!shares) return NULL;
  const struct pace pace = pace_of(in, shares);
  json_t *o = json_object();
  char *text = NULL;
  if (o && put(o, "chunks", count_json(r->n_chunks)) && put(o, "steps", count_json(r->n_steps)) &&
      put(o, "chunks_faulty", count_json(r->faults.n)) &&
      put(o, "objects", count_json(r->n_objects)) && put(o, "units", count_json(p->n_units)) &&
      put(o, "operations_before", count_json(p->operations_before)) &&
      put(o, "operations", count_json(p->operations)) &&
      put(o, "merged", count_json(p->merged)) && put(o, "split", count_json(p->split)) &&
      put(o, "bytes_requested", count_json(p->bytes_requested)) &&
      put(o, "bytes_planned", count_json(p->bytes_planned)) &&
      put(o, "bytes_over_read", count_json(p->bytes_over_read)) &&
      put(o, "bytes_gaps", count_json(p->bytes_gaps)) &&
      put(o, "bytes_twice", count_json(p->bytes_twice)) &&
      put(o, "memory", count_json(in->memory)) && put(o, "workers", count_json(in->workers)) &&
      put(o, "unit_bytes_max", count_json(p->unit_bytes_max)) &&
      put(o, "step_bytes_max", count_json(p->step_bytes_max)) &&
      put(o, "expected_s", real_json(pace.all_s)) && put(o, "read_s", real_json(pace.read_s)) &&
      put(o, "decode_s", real_json(in->decode_s)) && put(o, "sink_s", real_json(in->sink_s)) &&
      put(o, "transform_s_per_step_most",
          in->transform ? real_json(transform_room(in, &pace)) : json_null()) &&
      put(o, "bound", json_string(pace.bound)) &&
      put(o, "backend", in->backend ? json_string(in->backend) : json_null()) &&
      put(o, "devices", devices_json(p, shares)))
    text = dump(o);
  json_decref(o);
  lsi_free(shares);
  return text;
}
