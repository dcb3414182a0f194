/* What the suites of decoders share: a decoder of each test's own, random numbers from one seed
 * (LSIO_TEST_SEED gives another), and the check that nothing leaked. Included after cmocka.h by one file
 * of a program. */
#ifndef CODEC_SUPPORT_H
#define CODEC_SUPPORT_H

#include <stdlib.h>

#include "codec/codec.h"
#include "ground/mem.h"

static uint64_t seed = 0x9E3779B97F4A7C15u, rng;
static struct lsi_decoder *decoder;
static struct lsi_error error;

static void seed_from_env(void) {
  const char *given = getenv("LSIO_TEST_SEED");
  if (given) seed = strtoull(given, NULL, 0) | 1;
}

static uint32_t next(uint32_t n) {
  rng ^= rng << 13;
  rng ^= rng >> 7;
  rng ^= rng << 17;
  return (uint32_t)((rng >> 16) % n);
}

static int setup(void **state) {
  (void)state;
  rng = seed;
  decoder = lsi_decoder_create();
  return decoder ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  lsi_decoder_destroy(decoder);
  if (lsi_mem_live()) print_error("%lld blocks leaked\n", (long long)lsi_mem_live());
  return lsi_mem_live() ? -1 : 0;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
