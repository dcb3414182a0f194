/* Lua functions as a transform. Each job has a Lua thread of its own in its worker's state, so that
 * many can be open in one state: on that thread's stack lies what a step needs. A step is one protected
 * call of the script's function, and nothing is allocated for it. */
#include <stdio.h>
#include <string.h>

#include "ground/mem.h"
#include "host/host.h"
#include "seams/os.h"

/* The stack of a job's thread. Behind it: what the last step returned, which holds the text of a record. */
enum { AT_STEP = LSI_LUA_HANDLER + 1, AT_TRANSFORM, AT_RECORD, AT_END = AT_RECORD };

static inline void set_view(struct lsi_lua_view *v, const void *ptr, double n) {
  v->ptr = ptr;
  v->n = n;
  v->m = n < INT32_MAX ? (int32_t)n : INT32_MAX;
}

/* One that has not been asked for is as empty as no other is, unless the chunk is. */
static inline void show_scratch(struct lsi_lua_worker *w, const struct lsi_step *step) {
  const double n = step->chunk->n, room = step->scratch_bytes * w->per_byte;
  set_view(&w->chunk->scratch, step->scratch, !step->scratch ? 0 : room < n ? (double)(int64_t)room : n);
}

static int take_scratch(struct lsi_lua_worker *w, struct lsi_error *err) {
  const int rc = w->step->take_scratch ? w->step->take_scratch(w->step, err) : 0;
  if (rc >= 0) show_scratch(w, w->step);
  return rc;
}

/* ---- open and close ---- */

static int allocate(struct lsi_lua_worker *w, const struct lsi_script *s, struct lsi_error *err) {
  w->backup_size = s->skip ? s->state_size : 0;
  if (!w->backup_size || (w->backup = lsi_malloc(w->backup_size))) return 0;
  return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the state of worker %u", w->index);
}

/* Gives back all but what the worker ended with. */
static void release(struct lsi_lua_worker *w) {
  struct lsi_lua *lua = w->lua;
  if (lua) {
    struct lsi_lua_call call = lsi_lua_call_of(w->script);
    w->ends = true;
    lsi_os_lock(w->script->host->opening);
    w->lua = NULL; /* from here on it is not interrupted */
    lsi_os_unlock(w->script->host->opening);
    if (w->L) {
      memset(w->chunk, 0, sizeof *w->chunk); /* a loaded script may have kept it */
      luaL_unref(lua->L, LUA_REGISTRYINDEX, w->thread);
      w->L = NULL;
    }
    lsi_lua_end(lua, &call);
    lua->random = lua->idle;
    lsi_lua_drop(lua);
  }
  lsi_free(w->backup);
  w->backup = NULL;
}

static void close_worker(void *state) { release(state); }

/* Moves what `open` returned to a thread of the job's own. Runs protected. */
static void take_thread(lua_State *L, void *arg) {
  struct lsi_lua_worker *w = arg;
  const int results = AT_END - LSI_LUA_HANDLER, first = lua_gettop(L) - results + 1;
  lsi_lua_push_handler(w->lua, L);
  lua_insert(L, first);
  lua_State *thread = lua_newthread(L);
  w->thread = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_xmove(L, thread, results + 1);
  w->L = thread;
}

static int open_lua(struct lsi_lua_worker *w, struct lsi_error *err) {
  const struct lsi_script *s = w->script;
  struct lsi_lua_call call = lsi_lua_call_of(s);
  call.worker = w->index;
  call.seed = s->seed;
  call.out_type = s->out_type;
  call.has_out_type = s->has_out_type;
  call.text = s->params;
  call.text_length = s->params_length;
  const struct lsi_lua_hooks hooks = {.results = AT_END - LSI_LUA_HANDLER, .take = take_thread, .arg = w};
  struct lsi_error first;
  first.code = 0; /* the rest is set with it */
  w->lua->random = w->random;
  int rc = lsi_lua_call(w->lua, "open", &call, &hooks, LSIO_ERR_SCRIPT, &first);
  if (!rc) {
    w->chunk = call.chunk;
    w->slot = call.slot;
    return 0;
  }
  if (first.code == LSIO_ERR_SCRIPT && call.user_code) first.code = rc = LSIO_ERR_TRANSFORM;
  if (err && !err->code) *err = first;
  return rc;
}

static int open_worker(void *job, unsigned worker, unsigned thread, struct lsi_step *step,
                       void **state, struct lsi_error *err) {
  struct lsi_script *s = job;
  if (worker >= LSI_LUA_WORKERS_MAX || thread >= LSI_LUA_WORKERS_MAX)
    return lsi_fail(err, LSIO_ERR_LIMIT, 0, "Lua transforms run on at most %d workers",
                    LSI_LUA_WORKERS_MAX);
  struct lsi_lua_worker *w = lsi_alloc_aligned(LSI_CACHE_LINE, sizeof *w); /* zeroed */
  if (!w) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for worker %u of a job", worker);
  w->script = s;
  w->step = step;
  w->take_scratch = take_scratch;
  w->index = worker;
  w->steps = &w->own_steps;
  w->random[0] = s->seed;
  w->per_byte = 1.0 / (double)lsi_type_size(s->type);
  int rc = s->loaded ? lsi_loaded_current(s->loaded, thread, &w->lua, &w->steps, err)
                     : lsi_lua_current(s->host, &s->host->workers[thread], &w->lua, err);
  if (!rc) {
    lsi_loaded_sweep(w->lua);
    rc = allocate(w, s, err);
  }
  if (!rc) rc = open_lua(w, err);
  if (rc) {
    release(w);
    lsi_free(w);
    return rc;
  }
  w->next = atomic_load(&s->workers);
  while (!atomic_compare_exchange_weak(&s->workers, &w->next, w)) continue;
  *state = w;
  return 0;
}

/* ---- a step ---- */

static void undo(void *state) {
  struct lsi_lua_worker *w = state;
  if (w->backup_size) memcpy(w->slot, w->backup, w->backup_size);
}

static inline void show(struct lsi_lua_worker *w, const struct lsi_step *step) {
  struct lsi_lua_chunk *k = w->chunk;
  set_view(&k->data, step->chunk->data, step->chunk->n);
  set_view(&k->out, step->out, step->out_n);
  show_scratch(w, step);
  k->chunk = *step->chunk;
  k->index = step->index;
  k->pos = step->pos;
  k->worker = w->index;
  k->piece = step->piece;
}

/* Views die with the call: one that was kept fails its bounds check. */
static inline void hide(struct lsi_lua_chunk *k) {
  k->data.n = k->out.n = k->scratch.n = 0;
  k->data.m = k->out.m = k->scratch.m = 0;
}

/* Where the transform begins. */
static lua_Debug place_of_transform(struct lsi_lua_worker *w, struct lsi_error *err) {
  lua_Debug ar;
  lua_pushvalue(w->L, AT_TRANSFORM);
  lua_getinfo(w->L, ">S", &ar);
  const char *file = ar.source + (ar.source[0] == '@');
  lsi_error_from(err, file, strlen(file), ar.linedefined);
  return ar;
}

static int failed_step(struct lsi_lua_worker *w, struct lsi_step *step, int rc, struct lsi_error *err) {
  undo(w);
  step->result = LSI_RESULT_NONE;
  rc = lsi_lua_error(w->lua, w->L, rc, LSIO_ERR_TRANSFORM, err);
  place_of_transform(w, err); /* if no line of it was running: its last act was to call what failed */
  return rc;
}

/* The transform returned what it may not. */
static int refused(struct lsi_lua_worker *w, const char *text, struct lsi_error *err) {
  undo(w);
  const lua_Debug ar = place_of_transform(w, NULL);
  lsi_fail(err, LSIO_ERR_TRANSFORM, 0, "%s:%d: the transform returned %s", ar.short_src,
           ar.linedefined, text);
  place_of_transform(w, err);
  return LSIO_ERR_TRANSFORM;
}

static int take_count(struct lsi_lua_worker *w, struct lsi_step *step, struct lsi_error *err) {
  const double r = lua_tonumber(w->L, AT_END + 1);
  if (!w->script->has_out_max) return refused(w, "a number, but the job has no out_max", err);
  if (!(r >= 0 && r <= step->out_n && r == (double)(int64_t)r)) {
    char text[160];
    snprintf(text, sizeof text,
             "%.14g; how many elements it wrote is a whole number from 0 to %.0f", r, step->out_n);
    return refused(w, text, err);
  }
  step->result = LSI_RESULT_COUNT;
  step->result_n = r;
  return 0;
}

/* Everything that is not the common "nothing returned". */
static int take_result(struct lsi_lua_worker *w, struct lsi_step *step, struct lsi_error *err) {
  lua_State *L = w->L;
  lua_settop(L, AT_END + 1);
  int type = lua_type(L, -1);
  if (type == LUA_TNIL) return 0;
  step->result = LSI_RESULT_NONE; /* should it fail */
  if (type == LUA_TNUMBER) return take_count(w, step, err);
  if (type == LUA_TBOOLEAN && !lua_toboolean(L, -1)) return 0;
  if (type == LUA_TTABLE) {
    lua_pushvalue(L, AT_RECORD);
    lua_insert(L, -2);
    lua_pushvalue(L, AT_TRANSFORM);
    const int rc = lua_pcall(L, 2, 1, LSI_LUA_HANDLER);
    if (rc) return failed_step(w, step, rc, err);
    type = LUA_TSTRING;
  }
  if (type != LUA_TSTRING) {
    char text[120];
    snprintf(text, sizeof text, "a %s; valid: nothing, a number, a table, a string or false",
             lua_typename(L, type));
    return refused(w, text, err);
  }
  step->result = LSI_RESULT_RECORD;
  step->record = lua_tolstring(L, -1, &step->record_length);
  return 0;
}

/* Steps after which a script is worth machine code that is its own. */
#define MANY_STEPS 256

/* What the compiler has learnt of many short jobs is in the way of a long one: side traces for callers
 * that are gone, and counts that say where not to begin soon, by addresses that are now those of other
 * code. */
static void clean_compiler(struct lsi_lua_worker *w) {
  struct lsi_lua_call call = lsi_lua_call_of(w->script);
  const double id = call.loaded ? call.loaded : call.job;
  if (w->lua->compiled_for == id) return;
  w->lua->compiled_for = id;
  lsi_lua_call(w->lua, "clean", &call, NULL, LSIO_ERR_BUG, NULL);
}

static int run_step(void *state, struct lsi_step *step, struct lsi_error *err) {
  struct lsi_lua_worker *w = state;
  if (LSI_UNLIKELY(++*w->steps == MANY_STEPS)) clean_compiler(w);
  const bool first = !(step->piece & LSI_PIECE_LATER); /* else what it keeps is of the first piece */
  if (w->backup_size && first) memcpy(w->backup, w->slot, w->backup_size);
  if (LSI_UNLIKELY(step->n_chunks != 1))
    return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "a Lua transform got a step of %u chunks",
                    step->n_chunks);
  w->random[1] = (uint64_t)step->index;
  if (first) w->random[2] = 0;
  w->lua->random = w->random;
  show(w, step);
  lua_State *L = w->L;
  if (w->returned) lua_settop(L, AT_END);
  lua_pushvalue(L, AT_STEP);
  const int rc = lua_pcall(L, 0, LUA_MULTRET, LSI_LUA_HANDLER);
  hide(w->chunk);
  if (LSI_UNLIKELY(rc)) return failed_step(w, step, rc, err);
  step->result = LSI_RESULT_FULL;
  w->returned = lua_gettop(L) > AT_END;
  return LSI_LIKELY(!w->returned) ? 0 : take_result(w, step, err);
}

static int finish(void *state, struct lsi_error *err) {
  struct lsi_lua_worker *w = state;
  struct lsi_lua_call call = lsi_lua_call_of(w->script);
  w->ends = true;
  w->lua->random = w->random;
  memset(w->chunk, 0, sizeof *w->chunk);
  if (!w->script->finishes) return 0;
  int rc = lsi_lua_call(w->lua, "finish", &call, NULL, LSIO_ERR_TRANSFORM, err);
  if (rc) return rc;
  lsi_free(w->value);
  w->value = lsi_strndup(call.text, call.text_length);
  w->value_length = call.text_length;
  return w->value ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for what a worker ended with");
}

const struct lsi_transform_ops lsi_lua_transform_ops = {
    .name = "lua", .takes_scratch = true, .open_worker = open_worker, .step = run_step, .undo = undo,
    .finish = finish, .close = close_worker, .interrupt = LSI_LUA_INTERRUPT};
