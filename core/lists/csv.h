/* Reads a CSV list of ranges. */
#ifndef LSI_CSV_H
#define LSI_CSV_H

#include "ground/err.h"
#include "lists/ranges.h"

/* text[0 .. len), UTF-8, with or without a byte order mark, lines ended by LF or CRLF:
 *
 *   path,offset,length,tag       the header: names of columns, in any order. tag may be left out, columns of
 *   a.f32,4096,65536,1           other names are passed over; each row has a field for every column
 *   "b,2.f32",-4096,,2           what holds a comma, a quote or a line end stands in quotes, with its quotes
 *                                doubled (RFC 4180)
 *
 * Paths are bytes, with no NUL. Numbers are decimal int64, in quotes or not; a negative offset counts from
 * the object's end, a length is at least 0, or -1 or nothing: to that end. Blanks and tabs around fields
 * belong to no field; in quotes they belong to a path. Blank lines, and rows of nothing but commas, are
 * passed over, and the last line may lack its end. `file_name` is for messages, which name line and column.
 * *out is set on success only; lsi_ranges_free.
 * 0, LSIO_ERR_USAGE (the file is not as above), LSIO_ERR_LIMIT (too many rows) or LSIO_ERR_NOMEM. */
int lsi_csv_ranges(const char *text, size_t len, const char *file_name, struct lsi_ranges *out,
                   struct lsi_error *err);
/* The same, for lists of any length: `look` is called now and then with the number of rows so far, and ends
 * it by a negative value, with *err filled. */
typedef int lsi_each_rows(void *user, uint64_t rows, struct lsi_error *err);
int lsi_csv_ranges_watched(const char *text, size_t len, const char *file_name, lsi_each_rows *look,
                           void *user, struct lsi_ranges *out, struct lsi_error *err);

#endif
