#include "linux/os_linux_folder.h"

#include <string.h>

#include "ground/mem.h"

struct each {
  lsi_each_name *f;
  void *ctx;
  char path[LSI_PATH_LONGEST];
};

static int each(struct each *e, const struct lsi_folder *folder) {
  size_t next = 0;
  if (!folder->text) return 0; /* it had gone */
  memcpy(e->path, folder->path, folder->length);
  for (const char *p = folder->text, *end = p + folder->text_length; p < end;) {
    enum lsi_entry kind = (enum lsi_entry)*p++;
    int rc;
    if (kind == LSI_ENTRY_FOLDER) {
      rc = each(e, folder->folders[next++]);
      memcpy(e->path, folder->path, folder->length);
    } else {
      const char *name_end = stpcpy(e->path + folder->length, p);
      const size_t n = (size_t)(name_end - e->path);
      p += n - folder->length + 1;
      rc = e->f(e->ctx, e->path, n, kind == LSI_ENTRY_REGULAR);
    }
    if (rc != 0) return rc;
  }
  return 0;
}

int lsi_folder_each(const struct lsi_folder *root, lsi_each_name *f, void *ctx) {
  struct each e = {.f = f, .ctx = ctx};
  return each(&e, root);
}

void lsi_folder_free(struct lsi_folder *f) {
  if (!f) return;
  for (size_t i = 0; i < f->n_folders; i++) lsi_folder_free(f->folders[i]);
  lsi_free(f->folders);
  lsi_free(f->text);
  lsi_free(f);
}
