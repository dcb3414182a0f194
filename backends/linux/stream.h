/* Standard input as a backend reads it (stream.c). */
#ifndef LSI_STREAM_H
#define LSI_STREAM_H

#include "seams/backend.h"

uint64_t lsi_stream_position(void); /* bytes that have been read of it */
/* What standard input is: 0, or an errno. */
int lsi_stream_info(struct lsi_object_info *out);
/* In a child of fork, which has one thread: nobody reads. */
void lsi_stream_forked(void);

#endif
