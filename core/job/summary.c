/* The summary as JSON. */
#include "job/summary.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ground/mem.h"
#include "ground/utf8.h"

/* ---- JSON ---- */

/* File names are bytes: what is no UTF-8 is shown as \xNN. */
static json_t *text_json(const char *text) {
  const size_t length = strlen(text), n = lsi_utf8_clean(text, length, NULL);
  if (n == length) return json_string(text);
  char *clean = lsi_malloc(n);
  if (!clean) return NULL;
  lsi_utf8_clean(text, length, clean);
  json_t *o = json_stringn(clean, n);
  lsi_free(clean);
  return o;
}

static json_t *count_json(uint64_t n) {
  return json_integer((json_int_t)LSI_MIN(n, (uint64_t)INT64_MAX));
}

/* To the microsecond: more digits are noise. */
static json_t *seconds_json(double s) {
  return json_real(isfinite(s) ? round(s * 1e6) / 1e6 : 0);
}

/* Steals `value`; false when out of memory. */
static bool put(json_t *object, const char *key, json_t *value) {
  return json_object_set_new(object, key, value) == 0;
}

static json_t *error_json(const struct lsi_error *e) {
  char message[2048];
  lsi_error_format(e, message, sizeof message);
  json_t *o = json_object();
  bool ok = o && put(o, "code", json_string(lsio_error_name(e->code))) &&
            put(o, "kind", json_string(lsio_error_kind_name(lsi_error_kind(e)))) &&
            put(o, "message", text_json(message)) &&
            put(o, "object", e->object[0] ? text_json(e->object) : json_null());
  const bool placed = e->offset != LSI_NO_OFFSET;
  ok = ok && put(o, "offset", placed ? count_json(e->offset) : json_null()) &&
       put(o, "length", placed ? count_json(e->length) : json_null()) &&
       put(o, "step", e->step != LSI_NO_STEP ? count_json(e->step) : json_null()) &&
       put(o, "file", e->file[0] ? text_json(e->file) : json_null()) &&
       put(o, "line", e->line ? json_integer(e->line) : json_null()) &&
       put(o, "os_code", json_integer(e->os_code));
  if (ok) return o;
  json_decref(o);
  return NULL;
}

char *lsi_error_json(const struct lsi_error *e) {
  json_t *o = error_json(e);
  char *dump = o ? json_dumps(o, JSON_COMPACT) : NULL;
  char *text = dump ? lsi_strdup(dump) : NULL;
  json_decref(o);
  free(dump); /* lint: allow free: jansson's own allocation */
  return text;
}

static json_t *errors_json(const struct lsi_summary *s) {
  json_t *list = json_array();
  for (uint32_t i = 0; list && i < s->n_errors_kept; i++)
    if (json_array_append_new(list, error_json(&s->errors[i])) != 0) {
      json_decref(list);
      list = NULL;
    }
  return list;
}

const struct lsi_tried_kind lsi_tried_kinds[LSI_TRIED] = {
    [LSI_TRIED_LEND] = {"lend", "cpu_ns_per_byte", true, false},
    [LSI_TRIED_STORES] = {"stores", "cpu_ns_per_byte", true, false},
    [LSI_TRIED_STRAIGHT] = {"straight", "waited", false, false}, /* a share of the time */
    [LSI_TRIED_DEPTH] = {"depth", "ns_per_byte", true, true},
};

const struct lsi_part_kind lsi_part_kinds[LSI_PARTS] = {
    [LSI_PART_START] = {"start_s", "start"},
    [LSI_PART_SETUP] = {"setup_s", "setup"},
    [LSI_PART_LIST] = {"list_s", "listing"},
    [LSI_PART_PLAN] = {"plan_s", "planning"},
    [LSI_PART_READ] = {"read_s", "reading"},
    [LSI_PART_POLL] = {"poll_s", "noticing the end"},
    [LSI_PART_REDUCE] = {"reduce_s", "merging"},
    [LSI_PART_PUBLISH] = {"publish_s", "publishing"},
    [LSI_PART_DONE] = {"done_s", "done"},
};

double lsi_summary_total_s(const struct lsi_summary *s) {
  double total = 0;
  for (size_t i = 0; i < LSI_PARTS; i++) total += s->part_s[i];
  return total;
}

static json_t *figure_json(double v) { return isfinite(v) ? seconds_json(v) : json_null(); }

static json_t *took_json(const struct lsi_verdict *v, bool both) {
  if (!both) return figure_json(v->took[0]);
  json_t *list = json_array();
  for (size_t i = 0; list && i < LSI_COUNTOF(v->took); i++)
    if (json_array_append_new(list, figure_json(v->took[i])) != 0) {
      json_decref(list);
      list = NULL;
    }
  return list;
}

static json_t *verdict_json(const struct lsi_verdict *v, const struct lsi_tried_kind *kind) {
  if (!v->tried) return json_null();
  json_t *o = json_object(), *verdict = json_null();
  if (v->decided) verdict = kind->count ? count_json(v->verdict) : json_boolean(v->verdict);
  bool ok = put(o, "verdict", verdict) && put(o, "pinned", json_boolean(v->pinned)) &&
            put(o, "comparisons", count_json(v->comparisons)) &&
            put(o, kind->figure, took_json(v, kind->both));
  if (ok) return o;
  json_decref(o);
  return NULL;
}

static json_t *tune_json(const struct lsi_worker_summary *w) {
  json_t *o = json_object();
  bool ok = o != NULL;
  for (size_t i = 0; ok && i < LSI_TRIED; i++)
    ok = put(o, lsi_tried_kinds[i].name, verdict_json(&w->tune[i], &lsi_tried_kinds[i]));
  if (ok) return o;
  json_decref(o);
  return NULL;
}

static json_t *workers_json(const struct lsi_summary *s) {
  json_t *list = json_array();
  for (uint32_t i = 0; list && i < s->n_workers; i++) {
    const struct lsi_worker_summary *w = &s->workers[i];
    json_t *o = json_object();
    bool ok = o && put(o, "steps", count_json(w->steps)) &&
              put(o, "wait_s", seconds_json(w->wait_s)) &&
              put(o, "decode_s", seconds_json(w->decode_s)) &&
              put(o, "transform_s", seconds_json(w->transform_s)) &&
              put(o, "place_s", seconds_json(w->place_s)) &&
              put(o, "stalled_s", seconds_json(w->stalled_s)) && put(o, "tune", tune_json(w));
    if (!ok) {
      json_decref(o);
      o = NULL;
    }
    if (json_array_append_new(list, o) != 0) {
      json_decref(list);
      list = NULL;
    }
  }
  return list;
}

static json_t *state_error_json(const struct lsi_state_json *state) {
  return state && state->error.code ? error_json(&state->error) : json_null();
}

/* As the host gave it. */
static json_t *reduce_json(const struct lsi_state_json *state) {
  return state && state->reduce ? json_loads(state->reduce, JSON_DECODE_ANY, NULL) : json_null();
}

/* All but the state, which keeps the digits that the host gave it. */
static json_t *figures_json(const struct lsi_summary *s) {
  const struct {
    const char *name;
    uint64_t value;
  } counts[] = {
      {"chunks", s->chunks},
      {"chunks_failed", s->chunks_failed},
      {"chunks_missing", s->chunks_missing},
      {"steps", s->steps},
      {"steps_failed", s->steps_failed},
      {"steps_left", s->steps_left},
      {"operations", s->operations},
      {"bytes_requested", s->bytes_requested},
      {"bytes_read", s->bytes_read},
      {"bytes_decoded", s->bytes_decoded},
      {"bytes_delivered", s->bytes_delivered},
      {"bytes_copied", s->bytes_copied},
      {"bytes_written", s->bytes_written},
      {"bytes_direct", s->bytes_direct},
      {"bytes_gaps", s->bytes_gaps},
      {"bytes_twice", s->bytes_twice},
      {"bytes_alignment", s->bytes_alignment},
      {"bytes_retried", s->bytes_retried},
      {"peak_memory", s->peak_memory},
      {"error_count", s->error_count},
      {"state_nonfinite", s->state ? s->state->nonfinite : 0},
  };
  json_t *o = json_object();
  bool ok = o && put(o, "status", json_string(s->status ? s->status : "failed")) &&
            put(o, "exit_code", json_integer(s->exit_code));
  for (size_t i = 0; ok && i < LSI_COUNTOF(counts); i++)
    ok = put(o, counts[i].name, count_json(counts[i].value));
  ok = ok && put(o, "wall_s", seconds_json(s->wall_s)) && put(o, "cpu_s", seconds_json(s->cpu_s)) &&
       put(o, "total_s", seconds_json(lsi_summary_total_s(s)));
  for (size_t i = 0; ok && i < LSI_PARTS; i++)
    ok = put(o, lsi_part_kinds[i].name, seconds_json(s->part_s[i]));
  ok = ok && put(o, "backend", s->backend ? json_string(s->backend) : json_null()) &&
       put(o, "bound", s->bound ? json_string(s->bound) : json_null()) &&
       put(o, "at_deadline", s->at_deadline && s->at_deadline[0] ? text_json(s->at_deadline) : json_null()) &&
       put(o, "workers", workers_json(s)) && put(o, "errors", errors_json(s)) &&
       put(o, "state_error", state_error_json(s->state)) && put(o, "reduce", reduce_json(s->state));
  if (ok) return o;
  json_decref(o);
  return NULL;
}

char *lsi_summary_json(const struct lsi_summary *s) {
  json_t *figures = figures_json(s);
  char *head = figures ? json_dumps(figures, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
  json_decref(figures);
  if (!head) return NULL;
  const char *state = s->state && s->state->text ? s->state->text : "null";
  size_t n = strlen(head) - 1; /* the last one closes the object */
  while (n && head[n - 1] == '\n') n--;
  static const char key[] = ",\n  \"state\": ", end[] = "\n}";
  const size_t length = strlen(state);
  char *text = lsi_malloc(n + length + sizeof key + sizeof end), *at = text;
  if (text) {
    memcpy(at, head, n), at += n;
    memcpy(at, key, sizeof key - 1), at += sizeof key - 1;
    memcpy(at, state, length), at += length;
    memcpy(at, end, sizeof end);
  }
  free(head); /* lint: allow free: jansson's own allocation */
  return text;
}
