/* What kept a run from being faster (bound.c). Inside of the engine. */
#ifndef LSI_BOUND_H
#define LSI_BOUND_H

struct lsi_run;
struct lsi_summary;

/* "device", "latency", "decode", "transform", "sink" or "consumer": after the workers have ended. */
const char *lsi_run_bound(const struct lsi_run *run, const struct lsi_summary *s);

#endif
