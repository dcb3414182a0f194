/* Jobs written in Lua: the operations that core calls, each one call of a function of lsio.host. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/log.h"
#include "ground/mem.h"
#include "host/host.h"
#include "host/info.h"
#include "host/paths.h"
#include "host/sources.h"
#include "host/values.h"
#include "job/summary.h"
#include "seams/os.h"
#include "seams/watch.h"

#define LARGE_TEXT 65536u /* bytes that Lua is not to hold until the job is closed */

static void free_host(struct lsi_script_host *h) {
  if (!h) return;
  lsi_os_mutex_destroy(h->opening);
  lsi_os_mutex_destroy(h->mutex);
  lsi_free(h);
}

static int host_create(const struct lsi_log *log, struct lsi_script_host **out, struct lsi_error *err) {
  struct lsi_script_host *h = lsi_calloc(1, sizeof *h);
  if (h) h->mutex = lsi_os_mutex_create();
  if (h) h->opening = lsi_os_mutex_create();
  if (!h || !h->mutex || !h->opening) {
    free_host(h);
    return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the Lua host");
  }
  h->log = log;
  atomic_flag_clear(&h->warned);
  struct lsi_lua *first;
  int rc = lsi_lua_current(h, &h->coordinator, &first, err);
  if (rc) {
    free_host(h);
    return rc;
  }
  lsi_lua_drop(first);
  *out = h;
  return 0;
}

static void host_destroy(struct lsi_script_host *h) {
  if (!h) return;
  for (size_t i = 0; i < LSI_COUNTOF(h->workers); i++) lsi_lua_drop(h->workers[i]);
  lsi_lua_drop(h->coordinator);
  free_host(h);
}

static void free_workers(struct lsi_script *s) {
  for (struct lsi_lua_worker *w = atomic_load(&s->workers), *next; w; w = next) {
    next = w->next;
    lsi_free(w->value);
    lsi_free(w);
  }
}

static void unload(struct lsi_script *s) {
  if (!s) return;
  if (s->coordinator) {
    struct lsi_lua_call call = lsi_lua_call_of(s);
    lsi_lua_end(s->coordinator, &call);
    lsi_lua_drop(s->coordinator);
  }
  free_workers(s);
  if (s->loaded && atomic_fetch_sub(&s->loaded->users, 1) == 1) lsi_loaded_close(s->loaded);
  lsi_lua_arrays_clear(&s->arrays);
  lsi_free(s->params);
  lsi_free(s->reduce);
  lsi_free(s->begin);
  lsi_free(s);
}

/* Whose script it is, and in which state it opens. */
static int begin(struct lsi_script *s, const struct lsi_script_source *src, struct lsi_error *err) {
  s->number = src->job;
  s->text = src->text;
  s->length = src->length;
  s->name = src->name ? src->name : "job";
  if (!src->loaded) return lsi_lua_current(s->host, &s->host->coordinator, &s->coordinator, err);
  if (src->loaded->host != s->host)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "the script was loaded in another context");
  const int rc = lsi_loaded_open(src->loaded, err);
  if (rc) return rc;
  s->loaded = src->loaded;
  atomic_fetch_add(&s->loaded->users, 1);
  s->text = s->loaded->text;
  s->length = s->loaded->length;
  s->name = s->loaded->name;
  s->coordinator = s->loaded->coordinator;
  lsi_lua_hold(s->coordinator);
  return 0;
}

/* Takes over what Lua left in call->text. */
static int take_text(const struct lsi_lua_call *call, char **text, struct lsi_error *err) {
  *text = lsi_strndup(call->text, call->text_length);
  return *text ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a text of the script");
}

static int take_begin(struct lsi_script *s, const struct lsi_lua_call *call, struct lsi_error *err) {
  s->begin = lsi_malloc((size_t)call->state_size);
  if (!s->begin) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for a state");
  memcpy(s->begin, call->slot, (size_t)call->state_size);
  return 0;
}

static int load(struct lsi_script_host *host, const struct lsi_script_source *src,
                struct lsi_settings *settings, struct lsi_script **out, struct lsi_error *err) {
  struct lsi_script *s = lsi_calloc(1, sizeof *s);
  if (!s) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the script");
  s->host = host;
  s->id = (double)(atomic_fetch_add(&host->next_id, 1) + 1);
  int rc = begin(s, src, err);
  struct lsi_lua_call call = lsi_lua_call_of(s);
  call.args = src->args;
  call.n_args = src->n_args;
  call.settings = settings;
  s->transformed = call.transformed = src->transformed;
  call.has_state = src->has_state;
  s->sourced = call.sourced = src->sourced;
  const struct lsi_lua_hooks hooks = {.push = lsi_lua_push_params,
                                      .arg = (void *)(uintptr_t)src->params};
  if (!rc && src->params && src->params->kind != LSIO_VALUE_MAP)
    rc = lsi_fail(err, LSIO_ERR_USAGE, 0, "params must be a map of names, not a value of kind %d",
                  src->params->kind);
  if (!rc) rc = lsi_lua_call(s->coordinator, "load", &call, &hooks, LSIO_ERR_SCRIPT, err);
  if (!rc && call.text_length) rc = take_text(&call, &s->reduce, err);
  if (!rc && call.slot) rc = take_begin(s, &call, err);
  if (rc) {
    unload(s);
    return rc;
  }
  s->state_size = (size_t)call.state_size;
  s->finishes = call.finishes;
  s->has_done = call.has_done;
  s->skip = settings->on_error == LSI_ON_ERROR_SKIP;
  s->seed = settings->seed;
  *out = s;
  return 0;
}

static int help(struct lsi_script *s, char **text, struct lsi_error *err) {
  struct lsi_lua_call call = lsi_lua_call_of(s);
  int rc = lsi_lua_call(s->coordinator, "help", &call, NULL, LSIO_ERR_SCRIPT, err);
  return rc ? rc : take_text(&call, text, err);
}

static void fill_spec(struct lsi_script *s, struct lsi_lua_spec *l, struct lsi_spec *spec) {
  spec->type = (struct lsi_dtype){l->type, l->big};
  spec->codec = (uint8_t)l->codec;
  spec->decoded = (uint64_t)l->decoded;
  spec->piece = (uint64_t)l->piece;
  spec->identity = l->identity;
  spec->has_out_max = l->has_out_max;
  spec->out_max = (uint64_t)l->out_max;
  spec->on_error = s->skip ? LSI_ON_ERROR_SKIP : LSI_ON_ERROR_FAIL;
  spec->has_fill = l->has_fill;
  spec->fill = l->fill;
  spec->seed = s->seed;
  spec->setup_s = l->setup_s;
  static const uint8_t kinds[] = {LSI_SINK_NONE, LSI_SINK_NPY, LSI_SINK_RAW, LSI_SINK_MEMORY};
  spec->sink.kind = kinds[l->sink_kind];
  spec->sink.path = l->sink_path;
  spec->sink.has_type = l->sink_has_type;
  spec->sink.type = (struct lsi_dtype){l->sink_has_type ? l->sink_type : l->type, false};
  spec->sink.ndim = l->ndim;
  memcpy(spec->sink.shape, l->shape, sizeof spec->sink.shape);
  spec->sink.replace = l->replace;
  spec->sink.as_completed = l->as_completed;
  static const uint8_t durability[] = {LSI_DURABLE_NONE, LSI_DURABLE_BATCH, LSI_DURABLE_EACH};
  if (l->sink_kind) spec->sink.durability = durability[l->durability];
  const bool transforms = !l->identity && !s->transformed;
  spec->transform = transforms ? &lsi_lua_transform_ops : NULL;
  spec->transform_job = transforms ? s : NULL;
  s->type = l->type;
  s->has_out_max = l->has_out_max;
  s->has_out_type = l->sink_has_type;
  s->out_type = l->sink_type;
}

/* What the script says of the job; its source is yet to be opened. */
static int prepare(struct lsi_script *s, struct lsi_spec *spec, struct lsi_lua_source *source,
                   struct lsi_error *err) {
  struct lsi_lua_spec l = {0};
  struct lsi_lua_call call = lsi_lua_call_of(s);
  call.spec = &l;
  call.source = source;
  int rc = lsi_lua_call(s->coordinator, "prepare", &call, NULL, LSIO_ERR_SCRIPT, err);
  if (!rc) {
    lsi_free(s->params);
    rc = take_text(&call, &s->params, err);
    s->params_length = call.text_length;
  }
  if (rc) {
    lsi_free(l.sink_path);
    return rc;
  }
  fill_spec(s, &l, spec);
  return 0;
}

/* ---- the end ---- */

/* What merge left: the state as JSON, or why it has no such form. */
static int take_state(const struct lsi_lua_call *call, struct lsi_state_json *state,
                      struct lsi_error *err) {
  state->nonfinite = (uint64_t)call->nonfinite;
  if (!call->no_json) return take_text(call, &state->text, err);
  lsi_fail(&state->error, LSIO_ERR_OUTPUT, 0, "the state can't be written as JSON: %.*s",
           (int)LSI_MIN(call->text_length, sizeof state->error.what), call->text);
  lsi_error_remedy(&state->error, "let finish or reduce return what JSON can hold");
  return 0;
}

static int compare_workers(const void *a, const void *b) {
  const struct lsi_lua_worker *const *x = a, *const *y = b;
  return (*x)->index < (*y)->index ? -1 : (*x)->index > (*y)->index;
}

/* Those that ended with a value, in their order; of one that was opened again, the last. */
static size_t list_workers(struct lsi_script *s, struct lsi_lua_worker **list) {
  size_t n = 0;
  for (struct lsi_lua_worker *w = atomic_load(&s->workers); w; w = w->next)
    if (w->value) list[n++] = w;
  qsort(list, n, sizeof *list, compare_workers);
  return n;
}

static size_t count_workers(struct lsi_script *s) {
  size_t n = 0;
  for (struct lsi_lua_worker *w = atomic_load(&s->workers); w; w = w->next) n++;
  return n;
}

static int no_state(struct lsi_state_json *json, struct lsi_state_value *value, struct lsi_error *err) {
  const struct lsi_lua_call nothing = {.text = "{}", .text_length = 2};
  int rc = value ? lsi_value_map(NULL, NULL, 0, &value->value, err) : 0;
  return rc || json->unwanted ? rc : take_state(&nothing, json, err);
}

/* One call of Lua's for both forms of the state. */
static int call_merge(struct lsi_script *s, struct lsi_lua_call *call, struct lsi_state_value *value,
                      struct lsi_error *err) {
  if (!value) return lsi_lua_call(s->coordinator, "merge", call, NULL, LSIO_ERR_TRANSFORM, err);
  struct lsi_lua_taking taking = {0};
  const struct lsi_lua_hooks hooks = {.results = 4, .take = lsi_lua_take, .arg = &taking};
  int rc = lsi_lua_call(s->coordinator, "merge", call, &hooks, LSIO_ERR_TRANSFORM, err);
  if (!rc && taking.err.code == LSIO_ERR_OUTPUT) value->error = taking.err;
  else if (!rc && taking.err.code) rc = lsi_fail(err, taking.err.code, 0, "%s", taking.err.what);
  value->value = taking.value;
  lsi_lua_taken(&taking);
  return rc;
}

static int merge(struct lsi_script *s, struct lsi_state_json *json, struct lsi_state_value *value,
                 struct lsi_error *err) {
  if (!s->finishes) return no_state(json, value, err);
  const size_t most = LSI_MAX(count_workers(s), s->n_ended) + 1;
  struct lsi_lua_worker **list = lsi_calloc(most, sizeof *list);
  struct lsi_lua_value *values = lsi_calloc(most, sizeof *values);
  struct lsi_lua_call call = lsi_lua_call_of(s);
  int rc = list && values ? 0 : lsi_fail(err, LSIO_ERR_NOMEM, 0,
                                         "no memory to merge what workers ended with");
  call.transformed = s->transformed;
  const size_t n_list = rc ? 0 : list_workers(s, list);
  for (size_t i = 0; i < n_list; i++)
    values[i] = (struct lsi_lua_value){list[i]->value, list[i]->value_length};
  for (size_t i = 0; !rc && i < s->n_ended; i++)
    values[i] = (struct lsi_lua_value){s->ended[i], s->state_size};
  call.n_values = rc ? 0 : n_list + s->n_ended; /* of which one is none */
  call.values = values;
  call.arrays = &s->arrays;
  call.wants_text = !json->unwanted;
  call.wants_value = value != NULL;
  if (!rc) rc = call_merge(s, &call, value, err);
  for (size_t i = 0; rc == 0 && i < n_list; i++) { /* merged: they may be large */
    lsi_free(list[i]->value);
    list[i]->value = NULL;
  }
  lsi_free(values);
  lsi_free(list);
  s->large = call.text_length > LARGE_TEXT;
  if (rc) return rc;
  json->reduce = s->reduce;
  s->reduce = NULL;
  return json->unwanted ? 0 : take_state(&call, json, err);
}

static const void *state_begins(const struct lsi_script *s, size_t *bytes) {
  *bytes = s->begin ? s->state_size : 0;
  return s->begin;
}

static void states_ended(struct lsi_script *s, const void *const *states, size_t n) {
  s->ended = states;
  s->n_ended = n;
}

static int done(struct lsi_script *s, const struct lsi_summary *summary, struct lsi_error *err) {
  if (!s->has_done && !s->large) return 0;
  struct lsi_lua_call call = lsi_lua_call_of(s);
  const struct lsi_lua_hooks hooks = {.push = s->has_done ? lsi_lua_push_info : NULL,
                                      .arg = (void *)(uintptr_t)summary};
  return lsi_lua_call(s->coordinator, "done", &call, &hooks, LSIO_ERR_TRANSFORM, err);
}

/* ---- for any thread: the coordinator's state is one call's at a time ---- */

/* Whoever releases a script does not wait for the coordinator, which may be busy for a long time: who has it
 * closes what was released meanwhile. */
static void close_released(struct lsi_script_host *h) {
  while (atomic_load(&h->released) && lsi_os_trylock(h->mutex)) {
    for (struct lsi_loaded *l = atomic_exchange(&h->released, NULL), *next; l; l = next) {
      next = l->next;
      lsi_loaded_close(l);
    }
    lsi_os_unlock(h->mutex);
  }
}

static void lock(struct lsi_script_host *h) { lsi_os_lock(h->mutex); }

static void unlock(struct lsi_script_host *h) {
  lsi_os_unlock(h->mutex);
  close_released(h);
}

static int locked_open(struct lsi_loaded *l, struct lsi_error *err) {
  lock(l->host);
  const int rc = lsi_loaded_open(l, err);
  unlock(l->host);
  return rc;
}

static bool is_parents(const struct lsi_loaded *l) { return l->forks != lsi_os_forks; }

static void hold(struct lsi_loaded *l) { atomic_fetch_add(&l->users, 1); }

static void locked_release(struct lsi_loaded *l) {
  if (!l || atomic_fetch_sub(&l->users, 1) > 1) return;
  struct lsi_script_host *h = l->host;
  l->next = atomic_load(&h->released);
  while (!atomic_compare_exchange_weak(&h->released, &l->next, l)) continue;
  close_released(h);
}

static int locked_load(struct lsi_script_host *h, const struct lsi_script_source *src,
                       struct lsi_settings *settings, struct lsi_script **out, struct lsi_error *err) {
  lock(h);
  const int rc = load(h, src, settings, out, err);
  unlock(h);
  return rc;
}

static void locked_unload(struct lsi_script *s) {
  struct lsi_script_host *h = s ? s->host : NULL;
  if (!h) return;
  lock(h);
  unload(s);
  unlock(h);
}

#define LOCKED(name, type, arg)                                                        \
  static int locked_##name(struct lsi_script *s, type arg, struct lsi_error *err) {    \
    lock(s->host);                                                                     \
    const int rc = name(s, arg, err);                                                  \
    unlock(s->host);                                                                   \
    return rc;                                                                         \
  }
LOCKED(help, char **, text)
LOCKED(done, const struct lsi_summary *, summary)

static int locked_merge(struct lsi_script *s, struct lsi_state_json *json, struct lsi_state_value *value,
                        struct lsi_error *err) {
  lock(s->host);
  const int rc = merge(s, json, value, err);
  unlock(s->host);
  return rc;
}

/* Once for all workers. */
static int read_dictionary(const char *path, struct lsi_spec *spec, struct lsi_error *err) {
  char *bytes;
  size_t n;
  int rc = lsi_paths_read(spec->request->watch, path, LSI_TEXT_DICTIONARY, &bytes, &n, err);
  if (rc < 0) return rc;
  rc = n ? lsi_dictionary_create(bytes, n, &spec->dictionary, err)
         : lsi_fail(err, LSIO_ERR_SOURCE, 0, "a dictionary is empty");
  lsi_free(bytes);
  if (rc < 0) lsi_error_at(err, path, LSI_NO_OFFSET, 0, LSI_NO_STEP);
  return rc;
}

static void warn(const struct lsi_script *s, const struct lsi_left_out *l, const char *one,
                 const char *more) {
  char text[512], name[sizeof l->first];
  if (!l->n) return;
  size_t n = strlen(l->first);
  for (size_t i = 0; i <= n; i++) name[i] = i < n && (unsigned char)l->first[i] < 32 ? '?' : l->first[i];
  if (l->n == 1) snprintf(text, sizeof text, "1 %s: '%s'", one, name);
  else snprintf(text, sizeof text, "%" PRIu64 " %s, the first of them '%s'", l->n, more, name);
  lsi_log_warn(s->host->log, s->number, text);
}

static void warn_left_out(const struct lsi_script *s, const struct lsi_watch *w) {
  warn(s, &w->links, "broken symbolic link matches a pattern and is left out",
       "broken symbolic links match patterns and are left out");
  warn(s, &w->missing, "source is not there and is left out", "sources are not there and are left out");
  warn(s, &w->alternatives, "alternative in braces matches no file",
       "alternatives in braces match no file");
}

/* Other jobs have the coordinator while this one's source is listed and looked at. */
static int locked_prepare(struct lsi_script *s, struct lsi_spec *spec, struct lsi_error *err) {
  if (!spec->request) spec->request = lsi_request_create();
  if (!spec->request) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the request");
  struct lsi_lua_source source = {.paths = lsi_paths_create(spec->request->watch)};
  if (!source.paths) return lsi_fail(err, LSIO_ERR_NOMEM, 0, "no memory for the list of paths");
  lock(s->host);
  int rc = prepare(s, spec, &source, err);
  unlock(s->host);
  if (rc >= 0 && source.dictionary) rc = read_dictionary(source.dictionary, spec, err);
  if (rc >= 0 && !s->sourced) rc = lsi_lua_source_open(&source, spec->request, err);
  if (rc >= 0 && spec->request->watch) warn_left_out(s, spec->request->watch);
  lsi_lua_source_clear(&source);
  return rc;
}

static const struct lsi_script_ops ops = {.name = "lua",
                                          .create = host_create,
                                          .destroy = host_destroy,
                                          .keep = lsi_loaded_create,
                                          .open = locked_open,
                                          .is_parents = is_parents,
                                          .hold = hold,
                                          .release = locked_release,
                                          .load = locked_load,
                                          .help = locked_help,
                                          .prepare = locked_prepare,
                                          .state = state_begins,
                                          .ended = states_ended,
                                          .merge = locked_merge,
                                          .done = locked_done,
                                          .unload = locked_unload,
                                          .doctor = lsi_lua_doctor};
const struct lsi_script_ops *const lsi_script_host_ops = &ops;
