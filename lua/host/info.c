/* See info.h. */
#include "host/info.h"

#include <lauxlib.h>
#include <math.h>

#include "job/summary.h"

static void set_number(lua_State *L, const char *name, double v) {
  lua_pushnumber(L, v);
  lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool v) {
  lua_pushboolean(L, v);
  lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *v) {
  lua_pushstring(L, v ? v : "");
  lua_setfield(L, -2, name);
}

/* Absent where there was nothing to decide; without `verdict` where the job ended before. */
static void push_tune(lua_State *L, const struct lsi_worker_summary *w) {
  lua_createtable(L, 0, LSI_TRIED);
  for (size_t i = 0; i < LSI_TRIED; i++) {
    const struct lsi_tried_kind *kind = &lsi_tried_kinds[i];
    const struct lsi_verdict *v = &w->tune[i];
    if (!v->tried) continue;
    lua_createtable(L, 0, 4);
    if (kind->count && v->decided) set_number(L, "verdict", v->verdict);
    if (!kind->count && v->decided) set_flag(L, "verdict", v->verdict);
    set_flag(L, "pinned", v->pinned);
    set_number(L, "comparisons", v->comparisons);
    if (!kind->both && !isnan(v->took[0])) set_number(L, kind->figure, v->took[0]);
    if (kind->both) {
      lua_createtable(L, 2, 0);
      for (int j = 0; j < 2; j++) {
        lua_pushnumber(L, v->took[j]);
        lua_rawseti(L, -2, j + 1);
      }
      lua_setfield(L, -2, kind->figure);
    }
    lua_setfield(L, -2, kind->name);
  }
  lua_setfield(L, -2, "tune");
}

static void push_workers(lua_State *L, const struct lsi_summary *s) {
  lua_createtable(L, (int)s->n_workers, 0);
  for (uint32_t i = 0; i < s->n_workers && s->workers; i++) {
    lua_createtable(L, 0, 7);
    set_number(L, "steps", (double)s->workers[i].steps);
    set_number(L, "wait_s", s->workers[i].wait_s);
    set_number(L, "decode_s", s->workers[i].decode_s);
    set_number(L, "transform_s", s->workers[i].transform_s);
    set_number(L, "place_s", s->workers[i].place_s);
    set_number(L, "stalled_s", s->workers[i].stalled_s);
    push_tune(L, &s->workers[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void push_errors(lua_State *L, const struct lsi_summary *s) {
  lua_createtable(L, (int)s->n_errors_kept, 0);
  for (uint32_t i = 0; i < s->n_errors_kept; i++) {
    const struct lsi_error *e = &s->errors[i];
    char text[2048];
    lsi_error_format(e, text, sizeof text);
    lua_createtable(L, 0, 10);
    set_text(L, "message", text);
    set_text(L, "object", e->object);
    set_text(L, "code", lsio_error_name(e->code));
    set_text(L, "kind", lsio_error_kind_name(lsi_error_kind(e)));
    set_number(L, "os_code", e->os_code);
    if (e->offset != LSI_NO_OFFSET) {
      set_number(L, "offset", (double)e->offset);
      set_number(L, "length", (double)e->length);
    }
    if (e->step != LSI_NO_STEP) set_number(L, "step", (double)e->step);
    if (e->file[0]) set_text(L, "file", e->file);
    if (e->line) set_number(L, "line", e->line);
    lua_rawseti(L, -2, (int)i + 1);
  }
}

/* The `info` of done(result, info): the names of the JSON summary. */
int lsi_lua_push_info(lua_State *L, void *arg) {
  const struct lsi_summary *s = arg;
  luaL_checkstack(L, 12, "info");
  lua_createtable(L, 0, 38);
  set_text(L, "status", s->status);
  set_text(L, "backend", s->backend);
  set_text(L, "bound", s->bound);
  set_text(L, "at_deadline", s->at_deadline ? s->at_deadline : "");
  const struct {
    const char *name;
    double value;
  } numbers[] = {
      {"exit_code", s->exit_code},
      {"chunks", (double)s->chunks},
      {"chunks_failed", (double)s->chunks_failed},
      {"chunks_missing", (double)s->chunks_missing},
      {"steps", (double)s->steps},
      {"steps_failed", (double)s->steps_failed},
      {"steps_left", (double)s->steps_left},
      {"operations", (double)s->operations},
      {"bytes_requested", (double)s->bytes_requested},
      {"bytes_read", (double)s->bytes_read},
      {"bytes_decoded", (double)s->bytes_decoded},
      {"bytes_delivered", (double)s->bytes_delivered},
      {"bytes_copied", (double)s->bytes_copied},
      {"bytes_written", (double)s->bytes_written},
      {"bytes_direct", (double)s->bytes_direct},
      {"bytes_gaps", (double)s->bytes_gaps},
      {"bytes_twice", (double)s->bytes_twice},
      {"bytes_alignment", (double)s->bytes_alignment},
      {"bytes_retried", (double)s->bytes_retried},
      {"wall_s", s->wall_s},
      {"cpu_s", s->cpu_s},
      {"total_s", lsi_summary_total_s(s)},
      {"peak_memory", (double)s->peak_memory},
      {"error_count", (double)s->error_count},
  };
  for (size_t i = 0; i < LSI_COUNTOF(numbers); i++) set_number(L, numbers[i].name, numbers[i].value);
  for (size_t i = 0; i < LSI_PARTS; i++) set_number(L, lsi_part_kinds[i].name, s->part_s[i]);
  push_workers(L, s);
  lua_setfield(L, -2, "workers");
  push_errors(L, s);
  lua_setfield(L, -2, "errors");
  return 1;
}
