/* Ranges that a program gives a job: request.c. Thread-safe. */
#ifndef LSI_API_REQUEST_H
#define LSI_API_REQUEST_H

#include "lsio.h"
#include "plan/request.h"

size_t lsi_given_ranges(const struct lsio_request *g);
size_t lsi_given_objects(const struct lsio_request *g);
/* Adds all of it to a request that has no objects: these are looked at, unless the request is `plain` (nobody
 * asks for their sizes) and of one range of each. */
int lsi_given_take(const struct lsio_request *g, bool plain, struct lsi_request *r, struct lsi_error *err);

#endif
