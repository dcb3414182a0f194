/* Who wants to know how far the listing of sources is, and may end it, and what patterns left out. Used on
 * the thread that gave it. */
#ifndef LSI_WATCH_H
#define LSI_WATCH_H

#include "ground/err.h"

/* What was not as somebody may have meant it: how many, and the first of them. Long names keep their end. */
struct lsi_left_out {
  uint64_t n;
  char first[256];
};

struct lsi_watch {
  int (*tell)(void *user, uint64_t listed, uint64_t looked_at); /* objects; not 0: stop */
  void *user;
  uint64_t next_ns;                  /* when it is time to tell again */
  uint64_t listed_before;            /* objects that earlier patterns found */
  uint64_t until_ns;                 /* the job's deadline; 0: none */
  bool finds_folders;                /* patterns find folders that may not be listed: who looks sees why */
  struct lsi_left_out links;         /* symbolic links that patterns find, to what is not there */
  struct lsi_left_out missing;       /* objects that the job does not ask for, as they are not there */
  struct lsi_left_out alternatives;  /* of braces, that find nothing where others do */
};

/* Tells if it is time to (20 times a second). LSIO_ERR_CANCELLED: stop. LSIO_ERR_LIMIT: the deadline has
 * passed. */
int lsi_watch_tell(struct lsi_watch *w, uint64_t listed, uint64_t looked_at, struct lsi_error *err);
/* n more of them; the name is not kept if there is one. */
void lsi_left_out_add(struct lsi_left_out *l, uint64_t n, const char *first);

#endif
