#include "array.h"

#include "mem.h"
#include "os.h"

struct lsi_array *lsi_array_create(uint64_t bytes) {
  if (bytes > SIZE_MAX) return NULL;
  struct lsi_array *a = lsi_malloc(sizeof *a);
  if (!a) return NULL;
  *a = (struct lsi_array){lsi_os_map((size_t)bytes), bytes};
  if (a->data) return a;
  lsi_free(a);
  return NULL;
}

void lsi_array_free(struct lsi_array *a) {
  if (!a) return;
  lsi_os_unmap(a->data, (size_t)a->bytes);
  lsi_free(a);
}
