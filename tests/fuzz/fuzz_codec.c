/* libFuzzer target: the first byte chooses the codec, the second the limit; the rest is a chunk.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -Icore tests/fuzz/fuzz_codec.c \
 *     core/codec*.c core/err.c core/mem.c -llz4 -lzstd -lblosc */
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "mem.h"

static int grow(struct lsi_outbuf *out, size_t at_least) {
  if (at_least > out->limit) abort();
  char *p = lsi_malloc(at_least);
  if (!p) return LSIO_ERR_NOMEM;
  if (out->length) memcpy(p, out->data, out->length);
  lsi_free(out->data);
  out->data = p;
  out->capacity = at_least;
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct lsi_decoder *decoder; /* one for all: it must stay usable after every error */
  if (size < 2) return 0;
  if (!decoder && !(decoder = lsi_decoder_create())) abort();
  enum lsi_codec codec = (enum lsi_codec)(LSI_CODEC_LZ4 + data[0] % 4);
  struct lsi_outbuf out = {.limit = (size_t)1 << data[1] % 21, .grow = grow};
  struct lsi_error error;
  lsi_error_clear(&error);
  int rc = lsi_decode(decoder, codec, data + 2, size - 2, &out, &error);
  if (out.length > out.limit || (rc != 0) != (error.code != 0)) abort();
  if (rc && rc != LSIO_ERR_CORRUPT && rc != LSIO_ERR_LIMIT) abort();
  lsi_free(out.data);
  return 0;
}
