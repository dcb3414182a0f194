/* Results in memory: read straight into their array, stored past the cache, their pages made ready ahead.
 * Of the engine's inside, included by run.h. */
#ifndef LSI_PLACE_H
#define LSI_PLACE_H

#include "ground/base.h"

struct lsi_worker;
struct lsi_flight;
struct lsi_flight_extent;

/* What a worker has found out. */
struct lsi_place {
  bool straight, judged;    /* aligned bytes are read past the page cache; that is decided */
  bool stream;              /* results are stored past the cache ... */
  bool stream_chosen;       /* ... for good; else it is tried: */
  bool stream_settling;
  uint64_t judge_at_ns, judge_wait_ns;
  uint32_t stream_trials;   /* begun */
  uint64_t stream_done, stream_next; /* bytes of results; and where trying goes on */
  uint64_t stream_from, stream_cpu_ns; /* of the trial in hand */
  double stream_least[2];   /* CPU ns a byte in a trial; the least without and with */
};

void lsi_place_init(struct lsi_worker *w); /* knows `bare` */
/* Has the extent read straight into the sink's memory, if its bytes are the result and that pays. */
bool lsi_place_extent(struct lsi_worker *w, const struct lsi_flight *f, struct lsi_flight_extent *x);
/* Around a transform whose result goes to the place itself. */
void lsi_stream_begin(struct lsi_worker *w);
void lsi_stream_end(struct lsi_worker *w);
/* Makes memory ready that results will be written to. False: there is none to be made ready. */
bool lsi_place_ahead(struct lsi_worker *w);

#endif
