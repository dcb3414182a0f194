#include "job/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ground/types.h"
#include "job/nearest.h"
#include "plan/plan.h"

#define WORKERS_MAX 1024
#define QUEUE_DEPTH_MAX 32768 /* most entries that an io_uring takes */

/* X(scope, field, name, argument, variable, help): the order is the one of --help. */
#define SETTINGS(X)                                                                             \
  X(CONTEXT, workers, "workers", "N", "LSIO_WORKERS",                                           \
    "worker threads, each with its own Lua state (default: the CPUs this process may use)")     \
  X(CONTEXT, memory, "memory", "SIZE", "LSIO_MEMORY",                                           \
    "ceiling for all buffers (default: 1GiB, or a quarter of the available memory if less)")    \
  X(JOB, queue_depth, "queue-depth", "N", "LSIO_QUEUE_DEPTH",                                   \
    "reads in flight per device (default: what the device takes)")                              \
  X(CONTEXT, backend, "backend", "auto|uring|pread|mapped", "LSIO_BACKEND",                     \
    "how files are read (default: auto: uring, or pread where io_uring is refused; "            \
    "mapped: used where they lie in the page cache)")                                           \
  X(JOB, direct, "direct", "auto|always|never", "LSIO_DIRECT",                                  \
    "read and write around the page cache (default: auto, decided per file)")                   \
  X(JOB, merge, "merge", "auto|never|SIZE", "LSIO_MERGE",                                       \
    "read neighbours in one operation: the largest gap to read through (default: auto)")        \
  X(JOB, limit, "limit", "N", "LSIO_LIMIT", "run only the first N steps of the request")        \
  X(JOB, shard, "shard", "I/N", "LSIO_SHARD",                                                   \
    "run part I (from 0) of N equal parts; output paths must contain {shard}")                  \
  X(JOB, step, "step", "N|all", "LSIO_STEP",                                                    \
    "run step N alone, by the number that messages and --errors give it; its output goes to "   \
    "a file of its own, NAME.stepN (default: all)")                                             \
  X(JOB, replace, "replace", "[=yes|no]", "LSIO_REPLACE",                                       \
    "replace an output that is there, as `exists = \"replace\"` of its sink (default: no)")       \
  X(JOB, on_error, "on-error", "fail|skip", "LSIO_ON_ERROR",                                    \
    "stop at the first failed step, or leave failed steps out and exit with 1 (default: fail)") \
  X(JOB, deadline, "deadline", "TIME|never", "LSIO_DEADLINE",                                   \
    "stop a job that takes longer and exit with 9: 90s, 5m, 1h, 500ms, or seconds; with "       \
    "on-error skip what has run by then is published (default: never)")                         \
  X(CONTEXT, pin, "pin", "auto|never", "LSIO_PIN",                                              \
    "tie workers to CPUs when the job has the whole machine (default: auto)")                   \
  X(JOB, priority, "priority", "normal|background", "LSIO_PRIORITY",                            \
    "background: gives way to other jobs of its context, but for a 16th of "                    \
    "what they read (default: normal)")                                                         \
  X(JOB, seed, "seed", "N", "LSIO_SEED", "seed of chunk.random() (default: 0)")                 \
  X(JOB, tune, "tune", "NAME=WORD,...", "LSIO_TUNE",                                            \
    "settle what workers try out: lend (use files where they lie in the page cache), stores "   \
    "(results past the CPU's cache), straight (direct reads to the result's place); "           \
    "each auto, always or never (default: auto)")

static const struct lsio_setting table[] = {
#define SETTING_ROW(scope, field, name, argument, env, help) {name, argument, env, help},
    SETTINGS(SETTING_ROW)
#undef SETTING_ROW
    {NULL, NULL, NULL, NULL}};
static const uint8_t scopes[] = {
#define SETTING_SCOPE(scope, field, name, argument, env, help) LSI_SCOPE_##scope,
    SETTINGS(SETTING_SCOPE)
#undef SETTING_SCOPE
};
enum {
#define SETTING_NUMBER(scope, field, name, argument, env, help) ROW_##field,
  SETTINGS(SETTING_NUMBER)
#undef SETTING_NUMBER
};
#define N_SETTINGS (LSI_COUNTOF(table) - 1)
_Static_assert(N_SETTINGS <= sizeof(((struct lsi_settings *)0)->origin),
               "every row of the table needs its origin");

const struct lsio_setting *lsio_settings(void) { return table; }

/* ---- values ---- */

/* Each setter says what is valid in `valid` and returns false when `value` is not. */
static bool parse_whole(const char *value, uint64_t min, uint64_t max, uint64_t *out) {
  if (!*value) return false;
  uint64_t n = 0;
  for (const char *p = value; *p; p++) {
    if (*p < '0' || *p > '9') return false;
    if (lsi_mul_overflow(n, (uint64_t)10, &n) ||
        lsi_add_overflow(n, (uint64_t)(*p - '0'), &n))
      return false;
  }
  if (n < min || n > max) return false;
  *out = n;
  return true;
}

/* Index of the word, or -1. */
static int parse_word(const char *value, const char *const *words) {
  for (int i = 0; words[i]; i++)
    if (strcmp(value, words[i]) == 0) return i;
  return -1;
}

static const char *const auto_words[] = {"auto", "always", "never", NULL};

static const char *set_workers(struct lsi_settings *s, const char *value) {
  uint64_t n = 0;
  if (strcmp(value, "auto") != 0 && !parse_whole(value, 1, WORKERS_MAX, &n))
    return "a whole number from 1 to 1024, or auto";
  s->workers = (uint32_t)n;
  return NULL;
}

static const char *set_memory(struct lsi_settings *s, const char *value) {
  uint64_t bytes;
  if (!lsi_size_parse(value, &bytes) || !bytes)
    return "a size such as 512MiB, 2G or 800MB (K/M/G and KiB/MiB/GiB are powers of 1024)";
  s->memory = bytes;
  return NULL;
}

static const char *set_queue_depth(struct lsi_settings *s, const char *value) {
  uint64_t n = 0;
  if (strcmp(value, "auto") != 0 && !parse_whole(value, 1, QUEUE_DEPTH_MAX, &n))
    return "a whole number from 1 to 32768, or auto";
  s->queue_depth = (uint32_t)n;
  return NULL;
}

static const char *set_backend(struct lsi_settings *s, const char *value) {
  static const char *const words[] = {"auto", "uring", "pread", "mapped", NULL};
  int i = parse_word(value, words);
  if (i < 0) return "auto, uring, pread or mapped";
  snprintf(s->backend, sizeof s->backend, "%s", words[i]);
  return NULL;
}

static const char *set_direct(struct lsi_settings *s, const char *value) {
  int i = parse_word(value, auto_words);
  if (i < 0) return "auto, always or never";
  s->direct = (uint8_t)i;
  return NULL;
}

static const char *set_merge(struct lsi_settings *s, const char *value) {
  uint64_t bytes;
  if (strcmp(value, "auto") == 0)
    s->merge = LSI_MERGE_AUTO;
  else if (strcmp(value, "never") == 0)
    s->merge = LSI_MERGE_NEVER;
  else if (lsi_size_parse(value, &bytes))
    s->merge = bytes;
  else
    return "auto, never or the largest gap as a size such as 16KiB";
  return NULL;
}

static const char *set_limit(struct lsi_settings *s, const char *value) {
  return parse_whole(value, 1, UINT32_MAX, &s->limit) ? NULL : "a whole number of steps, at least 1";
}

static const char *set_shard(struct lsi_settings *s, const char *value) {
  static const char valid[] = "I/N with 0 <= I < N, such as 0/4 for the first of four parts";
  char text[32];
  const char *slash = strchr(value, '/');
  size_t n = slash ? (size_t)(slash - value) : 0;
  uint64_t index, count;
  if (!slash || n >= sizeof text) return valid;
  memcpy(text, value, n);
  text[n] = 0;
  if (!parse_whole(text, 0, UINT32_MAX, &index) || !parse_whole(slash + 1, 1, UINT32_MAX, &count) ||
      index >= count)
    return valid;
  s->shard_index = (uint32_t)index;
  s->shard_count = (uint32_t)count;
  return NULL;
}

static const char *set_step(struct lsi_settings *s, const char *value) {
  uint64_t n = LSI_NO_STEP;
  if (strcmp(value, "all") != 0 && !parse_whole(value, 0, LSI_NO_STEP - 1, &n))
    return "the number of a step, as messages and --errors give it, or all";
  s->step = n;
  return NULL;
}

static const char *set_replace(struct lsi_settings *s, const char *value) {
  static const char *const words[] = {"no", "yes", "0", "1", "false", "true", NULL};
  int i = parse_word(value, words);
  if (i < 0) return "yes or no";
  s->replace = i % 2 == 1;
  return NULL;
}

static const char *set_on_error(struct lsi_settings *s, const char *value) {
  static const char *const words[] = {"fail", "skip", NULL};
  int i = parse_word(value, words);
  if (i < 0) return "fail or skip";
  s->on_error = i ? LSI_ON_ERROR_SKIP : LSI_ON_ERROR_FAIL;
  return NULL;
}

/* The nanoseconds of "1.5h": exact, but for what is less than one. */
static bool parse_time(const char *value, uint64_t *out) {
  static const struct {
    const char *name;
    uint64_t ns;
  } units[] = {
      {"", 1000000000}, {"s", 1000000000}, {"ms", 1000000}, {"m", 60000000000}, {"h", 3600000000000}};
  const size_t whole = strspn(value, "0123456789");
  const char *fraction = value[whole] == '.' ? value + whole + 1 : "";
  const size_t digits = strspn(fraction, "0123456789");
  const char *unit = *fraction ? fraction + digits : value + whole;
  if (!whole || (value[whole] == '.' && !digits)) return false;
  for (size_t i = 0; i < LSI_COUNTOF(units); i++) {
    if (strcmp(unit, units[i].name) != 0) continue;
    uint64_t n = 0, place = units[i].ns;
    for (size_t k = 0; k < whole; k++)
      if (lsi_mul_overflow(n, (uint64_t)10, &n) || lsi_add_overflow(n, (uint64_t)(value[k] - '0'), &n))
        return false;
    if (lsi_mul_overflow(n, units[i].ns, &n)) return false;
    for (size_t k = 0; k < digits && (place /= 10); k++)
      if (lsi_add_overflow(n, place * (uint64_t)(fraction[k] - '0'), &n)) return false;
    *out = n;
    return n > 0 && n <= INT64_MAX;
  }
  return false;
}

static const char *set_deadline(struct lsi_settings *s, const char *value) {
  uint64_t ns = 0;
  if (strcmp(value, "never") != 0 && !parse_time(value, &ns))
    return "a time such as 90s, 5m, 1h or 500ms (of a number alone: seconds), or never";
  s->deadline_ns = ns;
  return NULL;
}

static const char *set_pin(struct lsi_settings *s, const char *value) {
  static const char *const words[] = {"auto", "never", NULL};
  int i = parse_word(value, words);
  if (i < 0) return "auto or never";
  s->pin = i ? LSI_NEVER : LSI_AUTO;
  return NULL;
}

static const char *set_priority(struct lsi_settings *s, const char *value) {
  static const char *const words[] = {"normal", "background", NULL};
  int i = parse_word(value, words);
  if (i < 0) return "normal or background";
  s->priority = i ? LSI_BACKGROUND : LSI_NORMAL;
  return NULL;
}

static const char *set_seed(struct lsi_settings *s, const char *value) {
  return parse_whole(value, 0, UINT64_MAX, &s->seed) ? NULL
                                                     : "a whole number from 0 to 2^64 - 1";
}

static const char *const tune_names[] = {"lend", "stores", "straight", NULL};

/* What is not named is tried. *near: what was probably meant where that is wrong, or NULL. */
static bool parse_tune(const char *value, struct lsi_tune *out, const char **near) {
  struct lsi_tune tune = {LSI_AUTO, LSI_AUTO, LSI_AUTO};
  uint8_t *const fields[] = {&tune.lend, &tune.stores, &tune.straight};
  *near = NULL;
  for (const char *p = value;; p++) {
    char word[LSI_WORD_MAX + 1];
    size_t n = strcspn(p, "=,");
    snprintf(word, sizeof word, "%.*s", (int)LSI_MIN(n, (size_t)LSI_WORD_MAX), p);
    const int name = parse_word(word, tune_names);
    if (name < 0) *near = lsi_nearest(word, tune_names, LSI_COUNTOF(tune_names) - 1);
    if (name < 0 || p[n] != '=') return false;
    p += n + 1;
    n = strcspn(p, ",");
    snprintf(word, sizeof word, "%.*s", (int)LSI_MIN(n, (size_t)LSI_WORD_MAX), p);
    const int wanted = parse_word(word, auto_words);
    if (wanted < 0) *near = lsi_nearest(word, auto_words, LSI_COUNTOF(auto_words) - 1);
    if (wanted < 0) return false;
    *fields[name] = (uint8_t)wanted;
    p += n;
    if (!*p) break;
  }
  *out = tune;
  return true;
}

static const char *set_tune(struct lsi_settings *s, const char *value) {
  const char *near;
  if (parse_tune(value, &s->tune, &near)) return NULL;
  return "pairs such as lend=always,stores=never, of lend, stores or straight with auto, always or "
         "never";
}

/* In the order of the table. A setter returns NULL, or what would have been valid. */
static const char *(*const setters[])(struct lsi_settings *s, const char *value) = {
#define SETTING_SETTER(scope, field, name, argument, env, help) set_##field,
    SETTINGS(SETTING_SETTER)
#undef SETTING_SETTER
};

/* ---- the interface ---- */

void lsi_settings_init(struct lsi_settings *s) {
  memset(s, 0, sizeof *s);
  snprintf(s->backend, sizeof s->backend, "auto");
  s->direct = LSI_AUTO;
  s->merge = LSI_MERGE_AUTO;
  s->step = LSI_NO_STEP;
  s->pin = LSI_AUTO;
}

static bool same_name(const char *a, const char *b) {
  for (; *a && *b; a++, b++)
    if ((*a == '_' ? '-' : *a) != *b) return false;
  return *a == *b;
}

/* A job may be given all of them, a context only its own. */
static bool takes(const struct lsi_settings *s, size_t row) {
  return s->scope == LSI_SCOPE_JOB || scopes[row] == LSI_SCOPE_CONTEXT;
}

static int unknown_setting(const struct lsi_settings *s, const char *name, struct lsi_error *err) {
  const char *names[N_SETTINGS];
  char all[200];
  size_t used = 0, known = 0;
  for (size_t i = 0; i < N_SETTINGS; i++) {
    if (!takes(s, i)) continue;
    int n = snprintf(all + used, sizeof all - used, "%s%s", known ? ", " : "", table[i].name);
    if (n > 0 && used + (size_t)n < sizeof all) used += (size_t)n;
    names[known++] = table[i].name;
  }
  const char *near = lsi_nearest(name, names, known);
  int rc = near ? lsi_fail(err, LSIO_ERR_USAGE, 0, "unknown setting '%.100s': did you mean '%s'?",
                           name, near)
                : lsi_fail(err, LSIO_ERR_USAGE, 0, "unknown setting '%.100s'", name);
  lsi_error_remedy(err, "the settings%s are %s", s->scope == LSI_SCOPE_CONTEXT ? " of a context" : "", all);
  return rc;
}

static int not_of_a_context(const char *name, struct lsi_error *err) {
  int rc = lsi_fail(err, LSIO_ERR_USAGE, 0, "the setting '%s' is a job's, not a context's", name);
  lsi_error_remedy(err, "give it to each job, in the settings of its options or in its script's `options`");
  return rc;
}

/* The valid value that was probably meant, for settings that take words. */
static const char *nearest_value(const struct lsio_setting *row, const char *value, char *buf,
                                 size_t cap) {
  const char *words[8], *near;
  struct lsi_tune tune;
  size_t n = 0;
  if (strcmp(row->name, "tune") == 0) {
    parse_tune(value, &tune, &near);
    return near;
  }
  if (!strchr(row->argument, '|') || row->argument[0] == '[' || strlen(row->argument) >= cap) return NULL;
  snprintf(buf, cap, "%s", row->argument);
  for (char *p = buf; p && n < LSI_COUNTOF(words);) {
    char *bar = strchr(p, '|');
    if (bar) *bar++ = 0;
    if (*p >= 'a' && *p <= 'z') words[n++] = p; /* SIZE is no word */
    p = bar;
  }
  return lsi_nearest(value, words, n);
}

static int bad_value(const struct lsio_setting *row, const char *value, const char *valid,
                     enum lsi_origin origin, struct lsi_error *err) {
  char from[64] = "", words[64];
  if (origin == LSI_FROM_ENV) snprintf(from, sizeof from, " (from %s)", row->env);
  if (origin == LSI_FROM_SCRIPT) snprintf(from, sizeof from, " (from the script's options)");
  const char *near = nearest_value(row, value, words, sizeof words);
  int rc = lsi_fail(err, LSIO_ERR_USAGE, 0, "setting '%s'%s must be %s, not '%.100s'", row->name,
                    from, valid, value);
  if (near) lsi_error_remedy(err, "did you mean '%s'?", near);
  return rc;
}

int lsi_settings_set(struct lsi_settings *s, const char *name, const char *value,
                     enum lsi_origin origin, struct lsi_error *err) {
  for (size_t i = 0; i < N_SETTINGS; i++) {
    if (!same_name(name, table[i].name)) continue;
    if (!takes(s, i)) return not_of_a_context(table[i].name, err);
    /* A value that loses against a stronger origin must be valid all the same. */
    struct lsi_settings changed = *s;
    const char *valid = setters[i](&changed, value);
    if (valid) return bad_value(&table[i], value, valid, origin, err);
    if (origin < s->origin[i]) return 0;
    *s = changed;
    s->origin[i] = (uint8_t)origin;
    return 0;
  }
  return unknown_setting(s, name, err);
}

int lsi_settings_set_pair(struct lsi_settings *s, const char *pair, enum lsi_origin origin,
                          struct lsi_error *err) {
  char name[64];
  const char *equals = strchr(pair, '=');
  if (!equals)
    return lsi_fail(err, LSIO_ERR_USAGE, 0, "setting '%.100s' has no value: write name=value", pair);
  size_t n = (size_t)(equals - pair);
  if (n >= sizeof name) n = sizeof name - 1; /* no setting is that long: it will be unknown */
  memcpy(name, pair, n);
  name[n] = 0;
  return lsi_settings_set(s, name, equals + 1, origin, err);
}

int lsi_settings_from_env(struct lsi_settings *s, struct lsi_error *err) {
  for (size_t i = 0; i < N_SETTINGS; i++) {
    const char *value = takes(s, i) ? getenv(table[i].env) : NULL;
    if (!value || !*value) continue;
    int rc = lsi_settings_set(s, table[i].name, value, LSI_FROM_ENV, err);
    if (rc) return rc;
  }
  return 0;
}

/* ---- a job in its context ---- */

void lsi_settings_adopt(struct lsi_settings *context, const struct lsi_settings *job) {
#define ADOPT(field)                                                  \
  if (!context->origin[ROW_##field]) {                                \
    memcpy(&context->field, &job->field, sizeof context->field);      \
    context->origin[ROW_##field] = job->origin[ROW_##field];          \
  }
  ADOPT(workers)
  ADOPT(memory)
  ADOPT(backend)
  ADOPT(pin)
#undef ADOPT
}

/* Somebody says it for the job. The environment speaks to the context as well: whoever has overruled it there
 * has done so for the context's jobs. */
static bool is_said(const struct lsi_settings *job, const struct lsi_settings *context, size_t row) {
  return job->origin[row] && !(job->origin[row] == LSI_FROM_ENV && context->origin[row] == LSI_FROM_CALLER);
}

unsigned lsi_settings_within(struct lsi_settings *job, const struct lsi_settings *context) {
  unsigned beyond = 0;
  if (!is_said(job, context, ROW_workers) || !job->workers) job->workers = context->workers;
  if (job->workers > context->workers) beyond |= LSI_BEYOND_WORKERS;
  job->workers = LSI_MIN(job->workers, context->workers);
  if (!is_said(job, context, ROW_memory) || !job->memory) job->memory = context->memory;
  if (job->memory > context->memory) beyond |= LSI_BEYOND_MEMORY;
  job->memory = LSI_MIN(job->memory, context->memory);
  if (context->origin[ROW_backend]) {
    const bool other = strcmp(job->backend, context->backend) != 0;
    if (other && is_said(job, context, ROW_backend)) beyond |= LSI_BEYOND_BACKEND;
    memcpy(job->backend, context->backend, sizeof job->backend);
  }
  if (context->origin[ROW_pin]) {
    if (job->pin != context->pin && is_said(job, context, ROW_pin)) beyond |= LSI_BEYOND_PIN;
    job->pin = context->pin;
  }
  return beyond;
}
