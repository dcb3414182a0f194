/* The C functions that Lua code reaches, in one table, so that it works however the library was loaded
 * and whatever it exports. */
#include <stdio.h>
#include <string.h>

#include "codec/hash.h"
#include "ground/log.h"
#include "ground/mem.h"
#include "ground/utf8.h"
#include "host/host.h"
#include "host/paths.h"
#include "host/sources.h"
#include "host/values.h"
#include "seams/os.h"

static void vt_fail(struct lsi_error *err, int code, const char *text) {
  lsi_error_clear(err);
  lsi_fail(err, code, 0, "%s", text);
}

static void vt_as_script_error(struct lsi_error *err, const char *file, double line) {
  struct lsi_error old = *err;
  lsi_error_clear(err);
  if (line > 0) lsi_fail(err, LSIO_ERR_SCRIPT, 0, "%s:%.0f: %s", file, line, old.what);
  else lsi_fail(err, LSIO_ERR_SCRIPT, 0, "%s", old.what);
  lsi_error_remedy(err, "%s", old.remedy);
  lsi_error_from(err, file, strlen(file), (int)line);
}

static void vt_refused(struct lsi_lua *lua, const char *name) {
  const size_t n = strlen(name), room = sizeof lua->refused - 1;
  snprintf(lua->refused, sizeof lua->refused, "%s", name + (n > room ? n - room : 0));
}

static double vt_size(const char *text) {
  uint64_t bytes;
  if (!lsi_size_parse(text, &bytes) || bytes > (1ull << 53)) return -1;
  return (double)bytes;
}

static int vt_codec(const char *name) {
  enum lsi_codec codec;
  return lsi_codec_parse(name, &codec) ? (int)codec : -1;
}

static const char *vt_codec_name(int codec) { return codec < LSI_CODECS ? lsi_codecs[codec]->name : NULL; }

static bool vt_codec_is_sized(int codec) { return lsi_codecs[codec]->caps & LSI_CODEC_SIZED; }

static bool vt_codec_takes_dictionary(int codec) { return lsi_codecs[codec]->caps & LSI_CODEC_DICTIONARY; }

static double vt_decode(int codec, const void *src, size_t n, void *dst, size_t cap) {
  return (double)lsi_decode_once(codec, src, n, dst, cap);
}

static double vt_utf8_clean(const char *text, size_t n, char *out) {
  return (double)lsi_utf8_clean(text, n, out);
}

static bool vt_sink_path(struct lsi_lua_spec *spec, const char *text, size_t length) {
  return (spec->sink_path = lsi_strndup(text, length)) != NULL;
}

/* The worker whose function runs in this state: it is whose random numbers they are. NULL: none. */
static struct lsi_lua_worker *running(const struct lsi_lua *lua) {
  if (lua->random == lua->idle) return NULL;
  return (struct lsi_lua_worker *)(void *)((char *)lua->random - offsetof(struct lsi_lua_worker, random));
}

static uint64_t speaker(const struct lsi_lua *lua) {
  const struct lsi_lua_worker *w = running(lua);
  return w ? w->script->number : lua->job;
}

static int vt_scratch(struct lsi_lua *lua, struct lsi_error *err) {
  struct lsi_lua_worker *w = running(lua);
  lsi_error_clear(err);
  return w ? w->take_scratch(w, err) : lsi_fail(err, LSIO_ERR_BUG, 0, "scratch is of no step");
}

static int vt_say(struct lsi_lua *lua, int level, const char *text, size_t length) {
  const int rc = lsi_log_line(lua->log, speaker(lua), level, text, length);
  if (rc) lua->unwritten = rc;
  return rc;
}

static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

static double vt_now(void) { return (double)lsi_os_now_ns() / 1e9; }

/* Counter-based: what comes depends on the seed, the step and the position only. */
static double vt_random(uint64_t *g) {
  uint64_t x = mix(mix(mix(g[0]) ^ g[1]) ^ g[2]++);
  return (double)(x >> 11) * 0x1p-53;
}

static int vt_setting(struct lsi_settings *settings, const char *name, const char *value,
                      struct lsi_error *err) {
  return lsi_settings_set(settings, name, value, LSI_FROM_SCRIPT, err);
}

static bool vt_setting_skip(const struct lsi_settings *settings) {
  return settings->on_error == LSI_ON_ERROR_SKIP;
}

static bool vt_source_file(struct lsi_lua_source *source, const char *text, size_t length) {
  return (source->file = lsi_strndup(text, length)) != NULL;
}

static bool vt_source_dictionary(struct lsi_lua_source *source, const char *text, size_t length) {
  return (source->dictionary = lsi_strndup(text, length)) != NULL;
}

static void *vt_array_data(struct lsi_value *array) {
  return (void *)(uintptr_t)lsi_value_elements(array); /* our own memory */
}

const struct lsi_vt *lsi_lua_vt(void) {
  static const struct lsi_vt functions = {
      .fail = vt_fail,
      .as_script_error = vt_as_script_error,
      .refused = vt_refused,
      .size = vt_size,
      .codec = vt_codec,
      .codec_name = vt_codec_name,
      .codec_is_sized = vt_codec_is_sized,
      .codec_takes_dictionary = vt_codec_takes_dictionary,
      .decode = vt_decode,
      .sha256_create = lsi_sha256_create,
      .sha256_free = lsi_sha256_free,
      .sha256_reset = lsi_sha256_reset,
      .sha256_update = lsi_sha256_update,
      .sha256_digest = lsi_sha256_digest,
      .utf8_clean = vt_utf8_clean,
      .hex = lsi_hex,
      .error_text = lsio_strerror,
      .kernels = lsi_kernels,
      .sink_path = vt_sink_path,
      .say = vt_say,
      .now = vt_now,
      .random = vt_random,
      .scratch = vt_scratch,
      .setting = vt_setting,
      .setting_skip = vt_setting_skip,
      .paths_later = lsi_paths_later,
      .source_file = vt_source_file,
      .source_dictionary = vt_source_dictionary,
      .array = lsi_lua_array,
      .array_data = vt_array_data,
      .source_arrays = lsi_lua_source_arrays,
  };
  return &functions;
}
