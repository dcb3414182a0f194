#include "job/spec.h"

#include <string.h>

#include "ground/mem.h"

void lsi_spec_init(struct lsi_spec *s) {
  memset(s, 0, sizeof *s);
  s->sink.durability = LSI_DURABLE_BATCH;
}

void lsi_spec_clear(struct lsi_spec *s) {
  lsi_request_free(s->request);
  lsi_free(s->sink.path);
  lsi_dictionary_free(s->dictionary);
  lsi_spec_init(s);
}
