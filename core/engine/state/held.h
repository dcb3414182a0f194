/* Steps that have run but count only once their objects have been looked at behind the reads: what was
 * read, or seen where it lies, may have been of a later version than planning saw. A worker keeps them
 * here, with the results that they stream; one look at an object settles all of its steps. Inside of the
 * engine; one worker. */
#ifndef LSI_HELD_H
#define LSI_HELD_H

#include <stdbool.h>
#include <stdint.h>

struct lsi_block;
struct lsi_error;
struct lsi_flight;
struct lsio_result;
struct lsi_run_completion;
struct lsi_slot;
struct lsi_wave;
struct lsi_worker;

/* Results wait for at most so many units, so many bytes, and so long, or until the step that runs then
 * has ended: the result of a slow step does not wait for the next one. */
#define LSI_HELD_UNITS 64u
#define LSI_HELD_BYTES (1u << 20)
#define LSI_HELD_NS 200000u

/* Steps at positions [from, to) of the plan's order, all of one unit. */
struct lsi_held_unit {
  struct lsi_slot *slot; /* the object to be looked at; NULL: it has been */
  const struct lsi_wave *wave;
  uint32_t from, to;
  uint64_t bytes;        /* of the unit, or of its results if they are more */
  struct lsi_run_completion *first, *last; /* of its results, in order; NULL: none */
};

struct lsi_held {
  const struct lsi_flight *running; /* the unit whose steps run, if they need a look */
  struct lsi_held_unit now;         /* of it; `to` is not set yet */
  uint64_t bytes;                   /* of `units` */
  uint64_t delivered_ns;            /* when results were last handed out */
  uint32_t n;
  struct lsi_held_unit units[LSI_HELD_UNITS];
};

/* In this order: looks.c sets `running` and `now` before the unit's steps run; each result that they
 * stream goes to lsi_held_result; then put (or fail) what has run; a look at the object settles it; and
 * when none waits for a look any more, deliver. */

/* What lies there in the block is the next result of the running unit. LSIO_ERR_NOMEM: it is not. */
int lsi_held_result(struct lsi_worker *w, struct lsi_block *b, const void *at,
                    const struct lsio_result *result);
/* Takes what has run of the unit up to position `to`: it counts when `slot` has been looked at (NULL: it
 * has been). There is room for it. */
void lsi_held_put(struct lsi_worker *w, struct lsi_slot *slot, uint32_t to);
/* What has run of the unit up to `to` has failed, because its source is not what planning saw. */
void lsi_held_fail(struct lsi_worker *w, uint32_t to, const struct lsi_error *why);
/* The object has been looked at, after its reads: what waited for that is as it should be (`why` NULL),
 * or has failed. */
void lsi_held_settle(struct lsi_worker *w, const struct lsi_slot *slot, const struct lsi_error *why);
/* Hands the results out. All have been settled. */
void lsi_held_deliver(struct lsi_worker *w);

#endif
