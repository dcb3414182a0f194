/* Fuzz target: lines "name=value" as settings of a job, each value also as a size and as the name of an
 * element type and of a codec. */
#include <inttypes.h>

#include "codec/codec.h"
#include "fuzz.h"
#include "job/nearest.h"
#include "job/settings.h"
#include "ground/types.h"

static void check_size(const char *text) {
  uint64_t n;
  if (!lsi_size_parse(text, &n)) return;
  char shown[32], digits[32];
  FUZZ_CHECK(n <= INT64_MAX && lsio_size_format(n, shown, sizeof shown) == shown && strlen(shown) < sizeof shown - 1);
  snprintf(digits, sizeof digits, "%" PRIu64, n);
  uint64_t again;
  FUZZ_CHECK(lsi_size_parse(digits, &again) && again == n);
}

static void check_names(const char *text) {
  struct lsi_dtype type;
  if (lsi_dtype_parse(text, &type)) {
    char descr[4];
    struct lsi_dtype again;
    FUZZ_CHECK(type.type < LSI_TYPE_COUNT);
    lsi_dtype_descr(type, descr);
    FUZZ_CHECK(lsi_dtype_parse(descr, &again) && again.type == type.type && again.big == type.big);
  }
  enum lsi_codec codec;
  if (lsi_codec_parse(text, &codec)) FUZZ_CHECK(!strcmp(lsi_codec_name(codec), text));
  static const char *const words[] = {"auto", "never", "queue-depth", "", "f32"};
  const char *near = lsi_nearest(text, words, LSI_COUNTOF(words));
  FUZZ_CHECK(!near || *near);
}

static void check_settings(const struct lsi_settings *s) {
  FUZZ_CHECK(s->workers <= 1024 && s->queue_depth <= 32768 && s->limit <= UINT32_MAX);
  FUZZ_CHECK(s->shard_count ? s->shard_index < s->shard_count : !s->shard_index);
  FUZZ_CHECK(s->direct <= LSI_NEVER && s->pin <= LSI_NEVER && s->on_error <= LSI_ON_ERROR_SKIP);
  FUZZ_CHECK(s->priority <= LSI_BACKGROUND);
  FUZZ_CHECK(s->tune.lend <= LSI_NEVER && s->tune.stores <= LSI_NEVER && s->tune.straight <= LSI_NEVER);
  FUZZ_CHECK(memchr(s->backend, 0, sizeof s->backend) && s->backend[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct lsi_settings s, context;
  lsi_settings_init(&s);
  lsi_settings_init(&context);
  context.scope = LSI_SCOPE_CONTEXT;
  for (size_t at = 0; at < size;) {
    const uint8_t *newline = memchr(data + at, '\n', size - at);
    const size_t n = newline ? (size_t)(newline - data) - at : size - at;
    /* The first byte of a line may say who sets it. */
    const bool weak = n && data[at] == '?';
    char *line = strndup((const char *)data + at + weak, n - weak);
    FUZZ_CHECK(line);
    struct lsi_error error;
    lsi_error_clear(&error);
    const struct lsi_settings before = s;
    int rc = lsi_settings_set_pair(&s, line, weak ? LSI_FROM_SCRIPT : LSI_FROM_CALLER, &error);
    FUZZ_CHECK((rc != 0) == (error.code != 0) && (!rc || rc == LSIO_ERR_USAGE));
    FUZZ_CHECK(!rc || !memcmp(&before, &s, sizeof s));
    check_settings(&s);
    lsi_error_clear(&error);
    rc = lsi_settings_set_pair(&context, line, LSI_FROM_CALLER, &error);
    FUZZ_CHECK((rc != 0) == (error.code != 0) && (!rc || rc == LSIO_ERR_USAGE));
    const char *equals = strchr(line, '=');
    check_size(equals ? equals + 1 : line);
    check_names(equals ? equals + 1 : line);
    free(line);
    at += n + 1;
  }
  struct lsi_settings fresh;
  lsi_settings_init(&fresh);
  fresh.scope = LSI_SCOPE_CONTEXT;
  FUZZ_CHECK(context.limit == fresh.limit && context.seed == fresh.seed && context.merge == fresh.merge);
  lsi_settings_adopt(&context, &s);
  context.workers = context.workers ? context.workers : 1;
  context.memory = context.memory ? context.memory : 1;
  lsi_settings_within(&s, &context);
  check_settings(&s);
  FUZZ_CHECK(s.workers && s.workers <= context.workers && s.memory && s.memory <= context.memory);
  FUZZ_CHECK(!lsi_settings_within(&s, &context)); /* all of it is within now */
  return 0;
}
