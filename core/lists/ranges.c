#include "lists/ranges.h"

#include "ground/mem.h"

void lsi_ranges_free(struct lsi_ranges *r) {
  lsi_free(r->object);
  lsi_free(r->offset);
  lsi_free(r->length);
  lsi_free(r->tag);
  lsi_free(r->name_at);
  lsi_free(r->names);
  *r = (struct lsi_ranges){0};
}
