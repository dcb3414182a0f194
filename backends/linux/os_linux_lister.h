/* Lists one folder, for one pattern: what matches, and which folders below are to be listed for what is
 * left of the pattern. "**" follows no symbolic link to a folder, so that it always ends. */
#ifndef LSI_OS_LINUX_LISTER_H
#define LSI_OS_LINUX_LISTER_H

#include "ground/names.h"
#include "linux/os_linux_folder.h"

/* One thread's hands. Zeroed but for the first four. */
struct lsi_lister {
  struct lsi_watch *watch;     /* NULL: another thread looks */
  bool finds_folders;          /* as the watch says */
  struct lsi_error error;      /* cleared */
  struct lsi_folder *in;       /* being listed */
  struct lsi_names names;      /* of entries that matched, marked with their kinds */
  struct lsi_folder **folders; /* for each name the folder, or NULL */
  struct lsi_names broken;     /* whole paths of symbolic links that match and lead nowhere, of all folders */
  uint64_t folders_cap;
  uint64_t gave_way_ns;
  char path[LSI_PATH_LONGEST];
};

/* Goes along a whole pattern up to what must be listed, and puts that into l->in, or the file that it
 * names. 0, or a code and l->error. */
int lsi_lister_begin(struct lsi_lister *l, const char *pattern);
/* Lists l->in and puts into it, sorted, what it has found. `listed`: names found before, for the watch. 0, or
 * a code and l->error. */
int lsi_lister_folder(struct lsi_lister *l, uint64_t listed);
/* True when the walk is to end, with l->error. Only who has the watch looks at it. */
bool lsi_lister_look(struct lsi_lister *l, uint64_t listed);
/* Forgets the entries, whether a folder has got them or not. */
void lsi_lister_drop(struct lsi_lister *l);
void lsi_lister_free(struct lsi_lister *l);

#endif
