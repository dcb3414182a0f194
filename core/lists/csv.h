/* Reads a CSV list of ranges. */
#ifndef LSI_CSV_H
#define LSI_CSV_H

#include "ground/err.h"
#include "lists/ranges.h"

/* text[0 .. len), UTF-8, with or without a byte order mark, lines ended by LF or CRLF:
 *
 *   path,offset,length[,tag]       the header, exactly so
 *   a.f32,4096,65536               a path that holds a comma, a quote or a line end stands in
 *   "b,2.f32",-4096,4096           quotes, with its quotes doubled (RFC 4180)
 *
 * Paths are bytes, with no NUL. Numbers are decimal int64 without blanks; a negative offset counts
 * from the object's end, a length is at least 0, or -1 or nothing: to that end. Numbers may be quoted
 * too. The last line may lack its end; blank lines may follow it. `file_name` is for messages, which name line and column. *out is set
 * on success only; lsi_ranges_free.
 * 0, LSIO_ERR_USAGE (the file is not as above), LSIO_ERR_LIMIT (too many rows) or LSIO_ERR_NOMEM. */
int lsi_csv_ranges(const char *text, size_t len, const char *file_name, struct lsi_ranges *out,
                   struct lsi_error *err);

#endif
