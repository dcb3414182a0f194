/* A transform that the program gave, as the engine and the end of its job see it. */
#ifndef LSI_API_TRANSFORM_H
#define LSI_API_TRANSFORM_H

#include <stdatomic.h>

#include "job/spec.h"

struct lsi_c_worker;

/* Part of a job; all zero: none was given. */
struct lsi_c_transform {
  bool given;
  struct lsio_transform c;       /* as far as the program knows it */
  const struct lsi_spec *spec;   /* the job's */
  struct lsi_dtype out_type;
  bool in_place;                 /* results lie one behind the other in an array */
  const void *begin;             /* the script's state as it begins; NULL: it has none */
  size_t state_bytes;
  _Atomic(struct lsi_c_worker *) workers; /* all that were opened; the last one comes first */
  const void **states;           /* that are handed to the script */
  struct lsi_c_worker *merged;   /* has the result */
};

/* Takes over what the program gave; NULL: nothing. Whatever follows, lsi_c_transform_end releases it. */
void lsi_c_transform_take(struct lsi_c_transform *t, const struct lsio_transform *given);
/* The same for what no job was made for. */
void lsi_c_transform_refuse(const struct lsio_transform *given);
/* LSIO_ERR_USAGE: it is none. */
int lsi_c_transform_check(const struct lsi_c_transform *t, struct lsi_error *err);
bool lsi_c_transform_has_state(const struct lsi_c_transform *t); /* of its own */
/* Puts it into the spec, once that is filled and it is decided where results go. `script`: NULL: none. */
int lsi_c_transform_use(struct lsi_c_transform *t, struct lsi_spec *spec, struct lsi_dtype out_type,
                        bool in_place, const struct lsi_script *script, struct lsi_error *err);
/* After the last worker has closed, in a job that has not failed: the script's states are handed to it, for
 * its merge, or the program merges its own. */
int lsi_c_transform_merge(struct lsi_c_transform *t, struct lsi_script *script, struct lsi_error *err);
void *lsi_c_transform_state(const struct lsi_c_transform *t); /* merged; NULL: none */
/* Closes what is left and releases. */
void lsi_c_transform_end(struct lsi_c_transform *t);

#endif
