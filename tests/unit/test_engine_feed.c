/* Packed chunks that are streamed, against the simulated backend: what test_engine.c promises, of chunks of each
 * codec that feeds. Every step shows the bytes that decoding its chunk whole yields, or is reported as failed
 * once, for a reason that it has: bad blocks, damage, the transform's own choice. LSIO_SIM_SEEDS, LSIO_SIM_FIRST
 * and LSIO_SIM_SEED as there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "blosc_order.h"
#include "codec/codec_gzip.h"
#include "engine_job.h"
#include "ground/mem.h"
#include "test/sim.h"

#define OBJECTS 4u
#define CONTENT_MAX (500u << 10)
#define STORED_MAX (2u << 20)

static const enum lsi_codec codecs[] = {LSI_CODEC_LZ4, LSI_CODEC_ZSTD, LSI_CODEC_GZIP, LSI_CODEC_ZLIB, LSI_CODEC_BLOSC,
                                        LSI_CODEC_AUTO};

struct world {
  struct lsi_sim sim;
  struct lsi_sim_object objects[OBJECTS];
  struct lsi_object_info infos[OBJECTS];
  const char *names[OBJECTS];
  enum lsi_codec codec;
  uint64_t decoded[OBJECTS]; /* bytes; what they are of is in `content` */
  int code[OBJECTS];         /* of decoding it whole */
  bool moved, must_stop;     /* an object changes or shrinks: the job may stop, or must */
  unsigned wrong;            /* failures for no reason */
  struct engine_job *j;
};

static struct world w;
static uint8_t stored[OBJECTS][STORED_MAX], content[OBJECTS][STORED_MAX];
static struct lsi_decoder *decoder;
static uint64_t streamed, delivered, damaged;

static uint64_t draw(uint64_t n) { return engine_job_random(w.j, n); }
static uint32_t draw32(void *ctx, uint32_t n) {
  (void)ctx;
  return (uint32_t)draw(n);
}

/* ---- objects ---- */

static size_t pack(enum lsi_codec codec, uint8_t *dst) {
  static uint8_t plain[CONTENT_MAX];
  const size_t n = draw(6) ? 100000 + draw(CONTENT_MAX - 100000) : draw(20000);
  const uint64_t noise = draw(3) ? 15 : 255; /* of lz4, blocks that don't shrink are larger than may be asked for */
  uint64_t word = 0;
  for (size_t i = 0; i < n; i++) {
    if (i % 8 == 0) word = draw(UINT64_MAX);
    plain[i] = (uint8_t)(word >> i % 8 * 8 & noise);
  }
  if (codec == LSI_CODEC_AUTO) codec = (enum lsi_codec[]){LSI_CODEC_LZ4, LSI_CODEC_ZSTD, LSI_CODEC_GZIP, LSI_CODEC_NONE}[draw(4)];
  const int64_t got = lsi_encode(codec, 1, plain, n, dst, STORED_MAX);
  assert_true(got >= 0);
  if (codec == LSI_CODEC_BLOSC && draw(2)) blosc_disorder(dst, 1 + (uint32_t)draw(8), draw32, NULL);
  return (size_t)got;
}

static void make_object(uint32_t i, bool calm) {
  struct lsi_sim_object *o = &w.objects[i];
  snprintf(o->name, sizeof o->name, "object%u", i);
  o->size = pack(w.codec, stored[i]);
  if (draw(5) == 0 && o->size) {
    damaged++;
    if (draw(2)) o->size = 1 + draw(o->size);
    else stored[i][draw(draw(2) ? LSI_MIN(o->size, (uint64_t)64) : o->size)] ^= (uint8_t)(1 + draw(255));
  }
  struct lsi_outbuf out = {.data = content[i], .capacity = STORED_MAX, .limit = STORED_MAX};
  w.code[i] = lsi_decode(decoder, w.codec, stored[i], o->size, &out, NULL);
  w.decoded[i] = w.code[i] ? UINT64_MAX : out.length;
  o->bytes = stored[i];
  o->real_size = o->size;
  o->device = i & 1;
  if (!calm && draw(40) == 0 && o->size) o->real_size = draw(o->size);
  if (!calm && draw(40) == 0) o->changed_at_open = true;
  if (!calm && draw(40) == 0) o->changed_at_close = true;
  w.moved |= o->real_size < o->size || o->changed_at_open || o->changed_at_close;
  w.names[i] = o->name;
  w.infos[i] = lsi_sim_info(o, i);
  const bool late = draw(4) == 0;
  if (late) w.infos[i].known = 0;
  w.must_stop |= o->real_size < o->size || (late ? o->changed_at_close && !o->changed_at_open
                                                  : o->changed_at_open || o->changed_at_close);
}

static void make_world(struct engine_job *j, uint64_t seed) {
  memset(&w, 0, sizeof w);
  w.j = j;
  j->rng = seed;
  w.codec = codecs[draw(LSI_COUNTOF(codecs))];
  w.sim = (struct lsi_sim){.seed = seed, .objects = w.objects, .n_objects = 1 + (uint32_t)draw(OBJECTS)};
  const bool calm = draw(3) == 0;
  decoder = lsi_decoder_create();
  /* What it is in one go a library says that takes some codes which others do not. */
  decoder->own[LSI_CODEC_GZIP] = lsi_gunzip_create(lsi_inflate_libraries[0]);
  lsi_gunzip_by_library(decoder->own[LSI_CODEC_GZIP]);
  for (uint32_t i = 0; i < w.sim.n_objects; i++) make_object(i, calm);
  lsi_decoder_destroy(decoder);
  w.sim.delay_max = (uint32_t)draw(2) * 50;
  if (calm) return;
  w.sim.bad_block = (uint32_t)draw(2) * 5;
  engine_job_faults(j, &w.sim);
}

static uint8_t content_byte(const void *ctx, uint32_t object, uint64_t offset) {
  (void)ctx;
  return content[object][offset];
}

/* ---- what may go wrong ---- */

static bool fails_on_purpose(uint64_t step) {
  return w.j->fail_one_in && step % w.j->fail_one_in == w.j->fail_one_in - 1;
}

static bool is_bad(uint32_t object) { return lsi_sim_bad(&w.sim, object, 0, w.objects[object].size); }

static bool is_streamed(uint32_t object) { return w.j->plan->ahead && w.objects[object].size > w.j->plan->ahead; }

/* Has the step a reason to end with this code? What codec.h says that only pieces find in damaged zstd is one. */
static bool has_reason(uint64_t step, int code) {
  const uint32_t i = w.j->spec.request->object[step];
  const enum lsi_codec codec = w.codec == LSI_CODEC_AUTO ? lsi_codec_find(stored[i], w.objects[i].size) : w.codec;
  if (code == LSIO_ERR_TRANSFORM) return fails_on_purpose(step);
  if (code == LSIO_ERR_IO) return is_bad(i);
  if (code == LSIO_ERR_SOURCE) return w.moved;
  if (code == LSIO_ERR_LIMIT && codec == LSI_CODEC_LZ4 && is_streamed(i)) return w.j->plan->ahead < 2 * ((64 << 10) + 8);
  if (codec == LSI_CODEC_ZSTD && code == LSIO_ERR_CORRUPT) return true;
  /* A size that damage made too large for the place here is found to be wrong where there is more. */
  if (w.code[i] == LSIO_ERR_LIMIT && code == LSIO_ERR_CORRUPT) return true;
  return code == w.code[i] || (w.code[i] && (code == LSIO_ERR_LIMIT || code == LSIO_ERR_UNSUPPORTED));
}

static void note_failure(void *ctx, uint64_t step, const struct lsi_error *e) {
  (void)ctx;
  if (has_reason(step, e->code)) return;
  fprintf(stderr, "step %llu: code %d: %s\n", (unsigned long long)step, e->code, e->what);
  w.wrong++;
}

/* Of a run that went to its end: no step is delivered that must have failed. */
static bool ends_are_right(void) {
  const struct lsi_request *r = w.j->spec.request;
  for (uint32_t s = 0; s < r->n_steps; s++) {
    const bool went = atomic_load(&w.j->delivered[s]);
    if (went && (w.code[r->object[s]] || fails_on_purpose(s) || is_bad(r->object[s]))) return false;
    if (!went && w.j->spec.on_error == LSI_ON_ERROR_FAIL) return false;
    delivered += went;
    streamed += went && is_streamed(r->object[s]);
  }
  return !w.must_stop;
}

static bool by_turns;

static void one_seed(uint64_t seed) {
  struct engine_job j;
  make_world(&j, seed);
  engine_job_build_files(&j, seed, w.sim.n_objects, w.names, w.infos);
  if (draw(4) == 0) j.fail_one_in = 1 + (uint32_t)draw(4);
  j.byte_at = content_byte;
  j.content = w.decoded;
  j.failed = note_failure;
  j.spec.codec = (uint8_t)w.codec;
  j.config.stores = lsi_sim_stores;
  j.config.backend = &lsi_backend_sim;
  j.config.backend_user = &w.sim;
  j.config.share = 2 * j.plan->unit_bytes_max + (16u << 20);
  for (uint32_t d = 0; d < 2; d++)
    w.sim.cap[d] = j.config.queue_depth ? j.config.queue_depth : j.plan->devices[d].cap;
  const int64_t cancel = draw(10) == 0 ? (int64_t)draw(3000000) : -1;
  struct lsi_error e;
  lsi_error_clear(&e);
  j.turns = by_turns ? &w.sim : NULL;
  const int rc = engine_job_run(&j, seed, cancel, &e);
  bool right = !w.wrong;
  if (rc == 0) right &= ends_are_right();
  else if (rc == LSIO_ERR_SOURCE) right &= w.moved && e.object[0];
  else if (rc == LSIO_ERR_CANCELLED) right &= cancel >= 0;
  else if (rc == LSIO_ERR_IO && (e.os_code == EMFILE || e.os_code == ENFILE)) right &= w.sim.emfile && e.object[0];
  else right &= j.spec.on_error == LSI_ON_ERROR_FAIL && e.object[0] && e.step != LSI_NO_STEP && has_reason(e.step, rc);
  if (!right)
    fail_msg("seed %llu, %s: code %d: %s '%s'", (unsigned long long)seed, lsi_codec_name(w.codec), rc, e.what, e.object);
  engine_job_free(&j);
}

static void run_seeds(void) {
  for (int c = 0; c < LSI_CODECS; c++) { /* each codec that feeds is among them */
    bool among = !lsi_codec_feeds((enum lsi_codec)c);
    for (size_t i = 0; i < LSI_COUNTOF(codecs); i++) among |= codecs[i] == (enum lsi_codec)c;
    assert_true(among);
  }
  streamed = delivered = damaged = 0;
  const uint64_t n = engine_job_seeds(one_seed, 10, 200);
  assert_true(n < 100 || (streamed > n / 8 && delivered > n / 2 && damaged > n / 8));
}

static void every_chunk_ends_exactly_once(void **state) {
  (void)state;
  run_seeds();
}

static void every_chunk_ends_exactly_once_by_turns(void **state) {
  (void)state;
  by_turns = true;
  run_seeds();
  by_turns = false;
}

int main(void) {
  engine_job_pieces = true;
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_chunk_ends_exactly_once),
                                     cmocka_unit_test(every_chunk_ends_exactly_once_by_turns)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
