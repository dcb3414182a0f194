/* Lua functions as a transform: one protected call a step, nothing allocated. */
#include <string.h>

#include "ground/mem.h"
#include "host/host.h"

/* Above the base of a worker's stack while a job is open: the function that runs a step. */
#define AT_DISPATCH (LSI_LUA_BASE + 1)

static void release(struct lsi_lua_worker *w) {
  lsi_free(w->slot);
  lsi_free(w->backup);
  w->slot = w->backup = NULL;
}

static int allocate(struct lsi_lua_worker *w, const struct lsi_script *s, struct lsi_error *err) {
  if (s->slot_size) w->slot = lsi_alloc_aligned(LSI_CACHE_LINE, s->slot_size);
  w->backup_size = s->skip ? s->state_size : 0;
  if (w->backup_size) w->backup = lsi_malloc(w->backup_size);
  if ((s->slot_size && !w->slot) || (w->backup_size && !w->backup))
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the state of worker %u",
                    (unsigned)(w - s->workers));
  return 0;
}

static struct lsi_lua_call call_of(const struct lsi_script *s) {
  return (struct lsi_lua_call){.job = s->id, .script = s->text, .script_length = s->length,
                               .name = s->name};
}

static void close_worker(void *state) {
  struct lsi_lua_worker *w = state;
  struct lsi_lua_call call = call_of(w->script);
  lua_settop(w->lua->L, LSI_LUA_BASE);
  struct lsi_error ignored = {0}; /* nothing is left to do about it */
  lsi_lua_call(w->lua, "close", &call, 0, NULL, NULL, LSIO_ERR_BUG, &ignored);
  release(w);
}

static int open_worker(void *job, unsigned worker, unsigned thread, struct lsi_step *step,
                       void **state, struct lsi_error *err) {
  struct lsi_script *s = job;
  if (worker >= LSI_LUA_WORKERS_MAX || thread >= LSI_LUA_WORKERS_MAX)
    return lsi_fail(err, LSIO_ERR_LIMIT, 0, "Lua transforms run on at most %d workers",
                    LSI_LUA_WORKERS_MAX);
  struct lsi_lua **lua = &s->host->workers[thread];
  if (!*lua) {
    *lua = lsi_lua_open(err);
    if (!*lua) return err && err->code ? err->code : LSIO_ERR_NOMEM;
    lsi_lua_warn_dead(s->host, *lua);
  }
  struct lsi_lua_worker *w = &s->workers[worker];
  lsi_free(w->value); /* of an earlier run of the same worker */
  memset(w, 0, sizeof *w);
  w->script = s;
  w->lua = *lua;
  w->step = step;
  w->random[0] = s->seed;
  int rc = allocate(w, s, err);
  if (rc) {
    release(w);
    return rc;
  }
  lua_State *L = w->lua->L;
  lua_settop(L, LSI_LUA_BASE);
  struct lsi_lua_call call = call_of(s);
  call.worker = worker;
  call.step = step;
  call.slot = w->slot;
  call.random = w->random;
  call.seed = s->seed;
  call.out_type = s->out_type;
  call.has_out_type = s->has_out_type;
  call.text = s->params;
  call.text_length = s->params_length;
  struct lsi_error first;
  lsi_error_clear(&first);
  rc = lsi_lua_call(w->lua, "open", &call, 1, NULL, NULL, LSIO_ERR_SCRIPT, &first);
  if (rc) {
    if (first.code == LSIO_ERR_SCRIPT && call.user_code) first.code = rc = LSIO_ERR_TRANSFORM;
    if (err && !err->code) *err = first;
    close_worker(w);
    return rc;
  }
  *state = w;
  return 0;
}

static void undo(void *state) {
  struct lsi_lua_worker *w = state;
  if (w->backup_size) memcpy(w->slot, w->backup, w->backup_size);
}

static int failed_step(struct lsi_lua_worker *w, int rc, struct lsi_error *err) {
  undo(w);
  rc = lsi_lua_error(w->lua, rc, LSIO_ERR_TRANSFORM, err);
  lua_settop(w->lua->L, AT_DISPATCH);
  return rc;
}

static int run_step(void *state, struct lsi_step *step, struct lsi_error *err) {
  struct lsi_lua_worker *w = state;
  const bool first = !(step->piece & LSI_PIECE_LATER); /* else what it keeps is of the first piece */
  if (w->backup_size && first) memcpy(w->backup, w->slot, w->backup_size);
  if (LSI_UNLIKELY(step->n_chunks != 1))
    return lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "a Lua transform got a step of %u chunks",
                    step->n_chunks);
  w->random[1] = (uint64_t)step->index;
  if (first) w->random[2] = 0;
  lua_State *L = w->lua->L;
  lua_pushvalue(L, AT_DISPATCH);
  int rc = lua_pcall(L, 0, 0, LSI_LUA_HANDLER);
  return LSI_LIKELY(rc == 0) ? 0 : failed_step(w, rc, err);
}

static int finish(void *state, struct lsi_error *err) {
  struct lsi_lua_worker *w = state;
  struct lsi_lua_call call = call_of(w->script);
  int rc = lsi_lua_call(w->lua, "finish", &call, 0, NULL, NULL, LSIO_ERR_TRANSFORM, err);
  if (rc) return rc;
  lsi_free(w->value);
  w->value = lsi_strndup(call.text, call.text_length);
  w->value_length = call.text_length;
  return w->value ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for what a worker ended with");
}

const struct lsi_transform_ops lsi_lua_transform_ops = {
    .name = "lua", .open_worker = open_worker, .step = run_step, .undo = undo, .finish = finish,
    .close = close_worker};
